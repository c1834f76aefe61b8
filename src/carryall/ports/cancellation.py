"""What every contract means by a step that is finished although its caller is cancelled, and by one that ends here."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def shielded(work: Awaitable[T]) -> T:
    """Finish a closing step although the caller is cancelled; the cancellation goes on afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):  # asked once more; it changes nothing
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved; the cancellation is what the caller hears of
        raise


async def ended(task: "asyncio.Task[Any]") -> None:
    """Cancel a task, and wait until it has ended. What it raised before is raised here."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the block, which ends with it."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await ended(task)
