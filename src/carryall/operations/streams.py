"""Move a body into a landing: capped, checkpointed, and left at once when a newcomer asks."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from carryall.model.errors import Interrupted, TooLarge
from carryall.ports.body import Body
from carryall.ports.leases import Lease
from carryall.ports.staging import Landing

# Who is asked to leave first takes what has come: a client that comes back finds it, and a newcomer hardly waits.
_LEAVING_S = 0.05


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """How often a resumable upload's progress is made durable while its body still runs.

    Every `every_bytes`, or after `every` when at least `least_bytes` are new: a broken power line costs no more.
    """

    every_bytes: int = 64 << 20
    every: timedelta = timedelta(seconds=5)
    least_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class Course:
    """What happens on the way: how many bytes may come, and whom to tell.

    Attributes:
        room: bytes that may be landed (None: no limit).
        grow: called before bytes are written that aren't reserved yet, with the total that is needed; None where
            everything was reserved at open.
        checkpoint: makes the landed bytes durable and counted; None where nothing may be acknowledged before the end.
    """

    room: int | None
    grow: Callable[[int], Awaitable[int]] | None
    checkpoint: Callable[[], Awaitable[None]] | None
    checkpoints: Checkpoints


async def land(body: Body, landing: Landing, lease: Lease, course: Course) -> None:
    """Move the whole body; give back when its last byte was put.

    Raises TooLarge before a byte past the room is put, Interrupted when a newcomer asked, and whatever the body
    raises; what was put before that stays put, and the caller decides what it is worth.
    """
    loop = asyncio.get_running_loop()
    patience = asyncio.timeout(None)
    try:
        async with patience:
            # Expiring the timeout leaves the wait for the next chunk without a cost per chunk (ADR 0005).
            lease.on_ask(lambda: patience.reschedule(loop.time() + _LEAVING_S))
            await _move(body, landing, course, loop)
    except TimeoutError as error:
        if not patience.expired():
            raise
        raise Interrupted(
            "A newer request continues this upload; this one was asked to leave.", retry_after_s=1
        ) from error
    finally:
        lease.on_ask(lambda: None)  # it is leaving; a timeout that is over can't be moved


async def _move(body: Body, landing: Landing, course: Course, loop: asyncio.AbstractEventLoop) -> None:
    granted = 0
    safe, safe_at = 0, loop.time()
    async for chunk in body:
        total = landing.taken + len(chunk)
        if course.room is not None and total > course.room:
            raise TooLarge(f"More bytes came than may be here: at most {course.room} are allowed.", limit=course.room)
        if course.grow is not None and total > granted:
            granted = await course.grow(total)
        await landing.put(chunk)
        if course.checkpoint is not None and _is_due(total - safe, loop.time() - safe_at, course.checkpoints):
            await course.checkpoint()
            safe, safe_at = landing.taken, loop.time()


def _is_due(new_bytes: int, seconds: float, rule: Checkpoints) -> bool:
    if new_bytes >= rule.every_bytes:
        return True
    return new_bytes >= rule.least_bytes and seconds >= rule.every.total_seconds()


async def is_empty(body: Body) -> bool:
    """Tell whether a body brings nothing. Where its size wasn't said, this takes its first chunk to find out."""
    if body.declared_size is not None:
        return body.declared_size == 0
    async for _ in body:
        return False
    return True
