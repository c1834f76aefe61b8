"""Is the server alive, and can it take uploads?"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from carryall.model.errors import CarryallError
from carryall.operations.placing import HOME
from carryall.operations.world import World
from carryall.ports.cancellation import ended
from carryall.ports.catalog_copies import Amount
from carryall.ports.store import Room, Store

_FINE = "ok"
_VITAL = ("catalog", "staging", f"store:{HOME}")
"""What no upload is taken without. The other stores can wait: a file that can't reach them stays here until it can."""

_NO_ROOM = Room(None, None, None)

FRESH_S = 30.0
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was looked at, each "ok" or the reason why not, and the free room for uploads in bytes."""

    checks: Mapping[str, str]
    free_bytes: int

    @property
    def is_ready(self) -> bool:
        """True when uploads can be taken."""
        return all(self.checks[name] == _FINE for name in _VITAL)

    @property
    def state(self) -> Literal["ready", "degraded", "not ready"]:
        """Whether everything is ok, something that can wait isn't, or uploads can't be taken."""
        if not self.is_ready:
            return "not ready"
        return "ready" if all(answer == _FINE for answer in self.checks.values()) else "degraded"


@dataclass(frozen=True, slots=True)
class StoreView:
    """A store as operators look at it.

    Attributes:
        answer: "ok", or why it can't be used.
        amount: of the files that are to be there, however far they are.
    """

    name: str
    answer: str
    room: Room
    amount: Amount


class Health:
    """Looks at the catalog, the staging room and the stores."""

    def __init__(self, world: World, *, least_free: int) -> None:
        self._catalog = world.catalog
        self._staging = world.staging
        self._stores = world.stores
        self._least_free = least_free
        self._remotes = {name: Remote(store) for name, store in world.stores.items() if not store.capabilities.is_local}

    @property
    def services(self) -> list[str]:
        """The stores' names, as relay's `supported_services`."""
        return list(self._stores)

    async def readiness(self) -> Readiness:
        """Look at everything; never raises for what it finds.

        Stores elsewhere are asked at most every 30 seconds, all at once, whoever and however many ask here; one that
        is slow is waited for 5 seconds.
        """
        answers = await asyncio.gather(*(self._answer(name) for name in self._stores))
        checks = {"catalog": _FINE, "staging": _FINE}
        checks |= {f"store:{name}": answer for name, answer in zip(self._stores, answers, strict=True)}
        free = 0
        try:
            await self._catalog.read(lambda tx: tx.jobs.next_due())
        except CarryallError as error:
            checks["catalog"] = error.message
        try:
            free = await self._staging.ready()
            if free < self._least_free:
                checks["staging"] = f"Only {free} bytes are free."
        except CarryallError as error:
            checks["staging"] = error.message
        return Readiness(checks, free)

    async def stores(self) -> list[StoreView]:
        """Ask every store, however long it takes; those that aren't set up any more and have files come last."""
        amounts = await self._catalog.read(lambda tx: tx.copies.amounts())
        names = [*self._stores, *sorted(amounts.keys() - self._stores.keys())]
        asked = await asyncio.gather(*(self._asked(name) for name in names))
        nothing = Amount(0, 0)
        return [
            StoreView(name, *answers, amounts.get(name, nothing)) for name, answers in zip(names, asked, strict=True)
        ]

    async def _asked(self, name: str) -> tuple[str, Room]:
        store = self._stores.get(name)
        if store is None:
            return "not in the settings", _NO_ROOM
        try:
            await store.ready()
            return _FINE, await store.about()
        except CarryallError as error:
            return error.message, _NO_ROOM

    def begin(self) -> None:
        """Ask the stores elsewhere, so that they are known, and know what they can, before somebody needs them."""
        for remote in self._remotes.values():
            remote.begin()

    async def queue(self) -> Mapping[tuple[str, str], int]:
        """Count jobs by (kind, state), for metrics."""
        return await self._catalog.read(lambda tx: tx.jobs.counts())

    async def close(self) -> None:
        """Stop asking; called before the stores are closed."""
        for remote in self._remotes.values():
            await remote.close()

    async def _answer(self, name: str) -> str:
        remote = self._remotes.get(name)
        return await _asked(self._stores[name]) if remote is None else await remote.answer()


class Remote:
    """Remembers what a store elsewhere said, and asks it again when that is old: one question for all who want to know.

    A question goes on although nobody waits for it any more: a store that needs longer than anybody's patience, to log
    in or to start a program, gets there once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._said = ""
        self._said_at = -FRESH_S
        self._asking: asyncio.Task[str] | None = None

    async def answer(self) -> str:
        """Give "ok" or the reason why not, at most 30 seconds old."""
        if self._asking is None and time.monotonic() - self._said_at < FRESH_S:
            return self._said
        asking = self.begin()
        done, _ = await asyncio.wait([asking], timeout=PATIENCE_S)
        return asking.result() if done else f"Store {self._store.name} has not answered yet."

    def begin(self) -> "asyncio.Task[str]":
        """Ask, if nobody does already."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return self._asking

    async def close(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            await ended(self._asking)

    async def _ask(self) -> str:
        try:
            self._said = await _asked(self._store)
            self._said_at = time.monotonic()
            return self._said
        finally:
            self._asking = None


async def _asked(store: Store) -> str:
    try:
        await store.ready()
    except CarryallError as error:
        return error.message
    return _FINE
