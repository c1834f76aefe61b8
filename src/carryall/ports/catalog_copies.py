"""The catalog's memory of copies, across files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from carryall.model.file import File


@dataclass(frozen=True, slots=True)
class Amount:
    """How many copies there are, and their bytes together."""

    copies: int
    size: int


class Copies(Protocol):
    """Files by where their copies are. Pages go by file id: `after` is the last id of the page before."""

    def in_store(self, store: str, *, after: str = "", limit: int) -> Sequence[File]:
        """Give files with a copy in a store, however far it is; not those that are only cached there."""
        ...

    def unchecked(self, store: str, before: datetime, *, after: str = "", limit: int) -> Sequence[File]:
        """Give files whose copy in a store is gone, or is stored and wasn't looked at since `before`, or never."""
        ...

    def under_way(self, *, after: str = "", limit: int) -> Sequence[File]:
        """Give files of which a delivery may still bring a copy."""
        ...

    def cached(self, store: str, *, offset: int = 0, limit: int) -> Sequence[File]:
        """Give files that are only cached in a store, and stored there, those that were read longest ago first.

        A file that nobody read counts as read when it was made; one that came back as read then.
        """
        ...

    def cached_bytes(self, store: str) -> int:
        """Sum up the sizes of what is only cached in a store, stored or on its way there."""
        ...

    def amounts(self) -> Mapping[str, Amount]:
        """Count what the target asks for, by store, however far it is; also of stores that aren't in the settings."""
        ...
