"""Are two stores two places? Two names for one bucket, folder or account would erase each other's files."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from carryall.model.errors import Missing, StoreError
from carryall.ports.ids import Ids
from carryall.ports.store import Store

_CONTENT = b"Carryall looks whether two of its stores are one place. This file is erased at once.\n"


@dataclass(frozen=True, slots=True)
class _Note:
    """A small file of our own. Implements `ports.store.Source`."""

    size: int = len(_CONTENT)
    name: str = "carryall-test.txt"
    media_type: str = "text/plain"
    sha256: str = hashlib.sha256(_CONTENT).hexdigest()
    path: Path | None = None

    async def open(self, start: int, stop: int) -> "_NoteReading":
        """Open the half-open range."""
        return _NoteReading(_CONTENT[start:stop])


class _NoteReading:
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._content:
            yield self._content

    async def aclose(self) -> None:
        """Hold nothing."""


async def are_apart(one: Store, other: Store, ids: Ids) -> bool:
    """Write a small file into one store, and tell whether the other one hasn't got it; it is erased again.

    A store that can't be asked counts as apart. Raises StoreError where the file can't be written or erased.
    """
    name = f"carryall-test-{ids.long()}"
    key = name if one.capabilities.keys == "generated" else f"carryall-test/{name}/apart.txt"
    stored = await one.put(key, _Note())
    try:
        await other.stat(stored.location)
    except (Missing, StoreError):
        return True
    finally:
        await one.erase(stored.location)
    return False
