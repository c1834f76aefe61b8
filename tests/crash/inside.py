"""What the catalog and the disks of a server say, looked at from beside it: counters, events, leftovers."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tests.crash.mortal import rewired

from carryall.config import ensure_secrets, load_settings
from carryall.operations.world import World
from carryall.ports.catalog_files import FileQuery
from carryall.wiring import House, build

T = TypeVar("T")
_MANY = 1_000_000


@dataclass(frozen=True, slots=True)
class View:
    """What was found.

    Attributes:
        findings: what the doctor has to say, damage and leftovers alike.
        stored: how many `file.stored` events each file has.
        digests: how many `file.stored` events tell of the same bytes, by sha-256.
        files: the sha-256 of each file that there is, by its id.
        one_shots: uploads whose request is over and that are open nevertheless.
    """

    findings: list[tuple[bool, str]]
    stored: Counter[str]
    digests: Counter[str]
    files: dict[str, str]
    one_shots: list[str]

    @property
    def wrong(self) -> list[str]:
        """Only the damage."""
        return [text for is_wrong, text in self.findings if is_wrong]


class LaterClock:
    """The clock of a house that opens later."""

    def __init__(self, inner: Any, ahead: timedelta) -> None:
        self._inner = inner
        self._ahead = ahead

    def now(self) -> datetime:
        """Give the time then."""
        now: datetime = self._inner.now()
        return now + self._ahead


def look(environment: Mapping[str, str]) -> View:
    """Look at everything; change nothing. Also beside a running server."""
    return _inside(environment, _view)


def doctor(environment: Mapping[str, str]) -> list[str]:
    """Give the damage that the doctor finds."""

    async def examined(house: House) -> list[str]:
        return [finding.text async for finding in house.doctor.examine() if finding.is_wrong]

    return _inside(environment, examined)


def sweep(environment: Mapping[str, str]) -> View:
    """Sweep once, then look."""

    async def swept(house: House) -> View:
        await house.expire.sweep()
        return await _view(house)

    return _inside(environment, swept)


def later(environment: Mapping[str, str], ahead: timedelta) -> View:
    """Be the process that opens the stopped server's folder after this long: jobs run, things expire, sweep once."""

    async def tidied(house: House) -> View:
        await _until_alone(house)
        await house.expire.abort_one_shots()
        await house.run_due()
        await house.expire.run()
        await house.run_due()
        await house.expire.sweep()
        return await _view(house)

    def moved(world: World) -> World:
        return replace(world, clock=LaterClock(world.clock, ahead))

    with rewired(moved):
        return _inside(environment, tidied)


def told(environment: Mapping[str, str]) -> set[str]:
    """Give the ids of the events that somebody was to be told of."""

    async def found(house: House) -> set[str]:
        return {str(telling.job.payload["event"]) for telling in await house.announce.tellings(limit=_MANY)}

    return _inside(environment, found)


async def _view(house: House) -> View:
    catalog = house.plugs.catalog
    going_on = {upload_id for upload_id, _ in await catalog.read(lambda tx: tx.uploads.open_segments())}
    findings = [
        (finding.is_wrong, finding.text)
        async for finding in house.doctor.examine()
        # What an open upload has in a store already is not left over: going on with it needs just that.
        if finding.is_wrong or (finding.about != "disk" and not any(one in finding.text for one in going_on))
    ]
    stored = [event for event in await house.announce.recent(_MANY) if event.type == "file.stored"]
    query = FileQuery(limit=_MANY)
    files = await catalog.read(lambda tx: {file.id: file.sha256 for file in tx.files.find(query)})
    return View(
        findings=findings,
        stored=Counter(event.subject for event in stored),
        digests=Counter(event.data["sha256"] for event in stored),
        files=files,
        one_shots=[str(one) for one in await catalog.read(lambda tx: tx.uploads.one_shot_open())],
    )


async def _until_alone(house: House) -> None:
    """Watch the hearts of processes that were killed until it is sure that they stand still."""
    plugs, deadline = house.plugs, time.monotonic() + 30
    while plugs.shared is not None:
        beats = await plugs.shared.read(lambda tx: tx.leases.beats())
        if beats.keys() <= {plugs.world.leases.node}:
            return
        assert time.monotonic() < deadline, beats
        await plugs.world.leases.tidy()
        await asyncio.sleep(0.1)


def _inside(environment: Mapping[str, str], work: Callable[[House], Awaitable[T]]) -> T:
    settings = load_settings(environment, None)
    settings, _ = ensure_secrets(settings, settings.data_dir / "secrets")

    async def opened() -> T:
        async with build(settings).open() as house:
            return await work(house)

    return asyncio.run(opened())


def told_of(environment: Mapping[str, str], subject: str) -> list[str]:
    """Give the types of the events about something, in order."""

    async def told(house: House) -> list[str]:
        events = await house.announce.recent(_MANY)
        return [event.type for event in reversed(events) if event.subject == subject]

    return _inside(environment, told)
