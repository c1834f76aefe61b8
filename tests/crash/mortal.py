"""Plugs that end their own process: wrappers of the same shape, which kill it at a named point when a file asks for it.

No line of the server knows of this: `rewired` puts the wrappers in the plugs' places while the house is built. A point
is armed by writing "NAME NUMBER TAG" into the file that `CARRYALL_TEST_CRASH_FILE` names; the process ends with SIGKILL
the NUMBER-th time that it passes it. The points that follow another step ask what the same task did last.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

from carryall import wiring
from carryall.operations.sources import CopySource
from carryall.operations.world import World

CRASH_FILE = "CARRYALL_TEST_CRASH_FILE"

_last: ContextVar[str] = ContextVar("last", default="")
_passed: dict[str, int] = {}
_AROUND = {"synced": ("before_row", "after_row"), "stored": ("stored", "sealed"), "carried": ("carried", "arrived")}
"""The points before and after a transaction, by what its task did last."""


def point(name: str) -> None:
    """Pass a named point, or end here."""
    try:
        order = Path(os.environ[CRASH_FILE]).read_text("ascii")
    except FileNotFoundError:
        return
    wanted, number, _tag = order.split()
    if wanted == name:
        _passed[order] = _passed.get(order, 0) + 1
        if _passed[order] == int(number):
            os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """A plug whose methods are replaced where this class has one of the same name."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class MortalLanding(Mortal):
    """One write."""

    async def digests(self) -> Mapping[str, str]:
        """Everything is written when this returns, and nothing is synced."""
        found: Mapping[str, str] = await self._inner.digests()
        point("written")
        return found

    async def sync(self) -> int:
        """Everything is synced, and no row says so."""
        length: int = await self._inner.sync()
        _last.set("synced")
        point("synced")
        return length


class MortalStaging(Mortal):
    """Where bytes land."""

    async def land(self, *args: Any, **options: Any) -> MortalLanding:
        """Give landings that are mortal, too."""
        return MortalLanding(await self._inner.land(*args, **options))

    async def join(self, upload_id: str, segments: Any, **options: Any) -> Any:
        """End half-way: the joined extent has all segments but the last one."""
        if len(segments) > 2:
            await self._inner.join(upload_id, segments[:-1], **options)
            point("joining")
        return await self._inner.join(upload_id, segments, **options)

    async def link(self, *args: Any) -> None:
        """A part's bytes are the final's, too, and the final's rows don't know."""
        await self._inner.link(*args)
        point("linked")

    async def move(self, *args: Any) -> None:
        """A chunk's bytes have left their scratch upload, and no row knows where they are."""
        await self._inner.move(*args)
        point("moved")


class MortalStore(Mortal):
    """Where files live."""

    async def put(self, key: str, source: Any, **options: Any) -> Any:
        """The file is there; what follows is its row, or that of a further copy."""
        is_delivery = isinstance(source, CopySource)
        if is_delivery:
            point("carrying")
        stored = await self._inner.put(key, source, **options)
        _last.set("carried" if is_delivery else "stored")
        return stored

    async def erase(self, key: str) -> None:
        """The row is gone, and the bytes are there; then they are gone, and the job isn't done."""
        point("erasing")
        await self._inner.erase(key)
        point("erased")


class MortalCatalog(Mortal):
    """The memory: what a transaction follows tells which one it is."""

    async def write(self, work: Callable[[Any], Any]) -> Any:
        """A row after a sync, the file's row after its bytes were stored, or the copy's row after its delivery."""
        before, after = _AROUND.get(_last.get(), (None, None))
        _last.set("")
        if before:
            point(before)
        result = await self._inner.write(work)
        if after:
            point(after)
        return result


class MortalWebhook(wiring.Webhook):
    """Who is told of a file: the only delivery of this version."""

    async def tell(self, event: Any) -> None:
        """Nobody was told; then the receiver knows, and the job isn't done."""
        point("telling")
        await super().tell(event)
        point("told")


def mortal(world: World) -> World:
    """Wrap what touches the world."""
    return replace(
        world,
        catalog=MortalCatalog(world.catalog),
        staging=MortalStaging(world.staging),
        stores={name: MortalStore(store) for name, store in world.stores.items()},
    )


@contextmanager
def rewired(change: Callable[[World], World], webhook: type[Any] | None = None) -> Iterator[None]:
    """Build houses with another world inside the block."""
    plugs, told = wiring.make_plugs, wiring.Webhook

    def changed(settings: Any) -> Any:
        made = plugs(settings)
        return replace(made, world=change(made.world))

    wiring.make_plugs, wiring.Webhook = changed, webhook or told  # type: ignore[misc]
    try:
        yield
    finally:
        wiring.make_plugs, wiring.Webhook = plugs, told  # type: ignore[misc]
