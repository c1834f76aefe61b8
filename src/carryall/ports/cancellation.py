"""What every contract means by a step that is finished although its caller is cancelled."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

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
