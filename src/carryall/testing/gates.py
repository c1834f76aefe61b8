"""Where a transaction stands still in the middle until a test lets it go on."""

import asyncio
import threading
from typing import Protocol

from sqlalchemy.util import await_only

_PATIENCE_S = 10


class Gate(Protocol):
    """One place to wait at, for one transaction."""

    def wait(self) -> None:
        """Stand still; called by the transaction's function."""
        ...

    async def is_reached(self) -> None:
        """Wait until somebody stands there."""
        ...

    def open(self) -> None:
        """Let whoever stands there, or comes later, go on."""
        ...


class ThreadGate:
    """For catalogs that run their functions on threads."""

    def __init__(self) -> None:
        self._reached, self._opened = threading.Event(), threading.Event()

    def wait(self) -> None:
        """Stand still."""
        self._reached.set()
        assert self._opened.wait(_PATIENCE_S)

    async def is_reached(self) -> None:
        """Wait until somebody stands there."""
        assert await asyncio.to_thread(self._reached.wait, _PATIENCE_S)

    def open(self) -> None:
        """Let everybody through."""
        self._opened.set()


class LoopGate:
    """For catalogs that run their functions in the event loop, on SQLAlchemy's greenlets."""

    def __init__(self) -> None:
        self._reached, self._opened = asyncio.Event(), asyncio.Event()

    def wait(self) -> None:
        """Stand still, and let the loop go on."""
        self._reached.set()
        await_only(asyncio.wait_for(self._opened.wait(), _PATIENCE_S))

    async def is_reached(self) -> None:
        """Wait until somebody stands there."""
        await asyncio.wait_for(self._reached.wait(), _PATIENCE_S)

    def open(self) -> None:
        """Let everybody through."""
        self._opened.set()
