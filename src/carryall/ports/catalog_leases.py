"""The catalog's memory of who writes to which upload now, and of which processes are there."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody in the way.

    Attributes:
        node: the process that holds the lease.
        beats: how often its heart has beaten; None when it is known to be gone.
    """

    node: str
    beats: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """A lease of one process; a segment of None stands for the whole upload."""

    upload_id: str
    segment: int | None
    is_asked: bool


class LeaseRecords(Protocol):
    """Leases and the processes (nodes) that hold them. Nothing here has to survive a power loss: nobody holds then."""

    def take(self, upload_id: str, segment: int | None, *, node: str, over: Collection[str] = ()) -> Sequence[Holder]:
        """Take a lease unless others are in the way: then ask them to leave, and give them.

        A whole upload is spoken for from the first attempt on: nobody new gets in before its newcomer. What the nodes
        in `over` hold is taken over. A node's own leases are never in its way: it sees to its own requests.
        """
        ...

    def give(self, upload_id: str, segment: int | None, *, node: str) -> None:
        """Give a lease, or the place in front of it, back."""
        ...

    def of(self, node: str) -> Sequence[Held]:
        """Give what a node holds."""
        ...

    def holders(self, upload_id: str) -> Sequence[Holder]:
        """Give who holds anything of an upload, or waits for the whole."""
        ...

    def beat(self, node: str) -> None:
        """Say that a node is there: the first time, and again and again."""
        ...

    def leave(self, node: str) -> None:
        """Say that a node is gone. What it still holds has to be taken over."""
        ...

    def beats(self) -> Mapping[str, int]:
        """Give how often every node's heart has beaten."""
        ...

    def left_over(self, nodes: Collection[str]) -> Sequence[str]:
        """Give the uploads of which any node but these holds a lease."""
        ...
