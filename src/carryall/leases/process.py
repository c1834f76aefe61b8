"""Leases among the requests of one process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from carryall.model.errors import Unavailable

PATIENCE_S = 30.0  # a holder that was asked only has to write what it holds: at most 2 MiB and a sync


class ProcessLease:
    """Implements `ports.leases.Lease`."""

    def __init__(self, segment: int | None) -> None:
        self.segment = segment
        self._leave: Callable[[], None] | None = None
        self._is_asked = False

    def on_ask(self, leave: Callable[[], None]) -> None:
        """Say what to do when a newcomer asks."""
        self._leave = leave
        if self._is_asked:
            leave()

    def ask(self) -> None:
        """Ask the holder to leave, once."""
        if not self._is_asked:
            self._is_asked = True
            if self._leave is not None:
                self._leave()

    def excludes(self, other: "ProcessLease") -> bool:
        """Tell whether both can't be held at once."""
        return self.segment is None or other.segment is None or self.segment == other.segment


@dataclass(slots=True)
class _Line:
    """Who holds an upload, and who waits for it, in the order of arrival."""

    holders: list[ProcessLease] = field(default_factory=list)
    waiting: list[ProcessLease] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def blockers(self, mine: ProcessLease) -> list[ProcessLease]:
        ahead = self.waiting[: self.waiting.index(mine)]
        return [lease for lease in (*self.holders, *ahead) if lease.excludes(mine)]

    def move(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()


class ProcessLeases:
    """Implements `ports.leases.Leases` for one process and one event loop."""

    def __init__(self, node: str = "") -> None:
        self.node = node
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def hold(self, upload_id: str, segment: int | None = None) -> AsyncIterator[ProcessLease]:
        """Wait for the segment or the whole upload."""
        line = self._lines.setdefault(upload_id, _Line())
        mine = ProcessLease(segment)
        line.waiting.append(mine)
        try:
            await self._wait(line, mine)
            yield mine
        finally:
            for where in (line.waiting, line.holders):
                if mine in where:
                    where.remove(mine)
            line.move()
            if not line.waiting and not line.holders:
                self._lines.pop(upload_id, None)

    async def is_held(self, upload_id: str) -> bool:
        """Tell whether anybody writes to this upload now."""
        return upload_id in self._lines

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Do nothing: nobody watches."""
        yield

    async def tidy(self) -> None:
        """Do nothing: what a process holds ends with it."""

    async def gone(self) -> None:
        """Give nothing: a process by itself can't tell, and a command may run beside a server."""

    async def _wait(self, line: _Line, mine: ProcessLease) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while blockers := line.blockers(mine):
                    for lease in blockers:
                        lease.ask()
                    await line.moved.wait()
        except TimeoutError as error:
            raise Unavailable(
                "Another request for this upload doesn't finish. Try again in a minute.",
                code="upload_busy",
                retry_after_s=60,
            ) from error
        line.waiting.remove(mine)
        line.holders.append(mine)
