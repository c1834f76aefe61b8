"""Who may write an upload now."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Lease(Protocol):
    """The right to write one segment, or a whole upload, until the context ends."""

    def on_ask(self, leave: Callable[[], None]) -> None:
        """Say what to do when a newcomer asks; called at once if one has asked already, and once at most."""
        ...


class Leases(Protocol):
    """Sees that one writer at a time has a segment. A newcomer *asks*; the holder ends its closing steps and leaves.

    Cancelling a holder was tried: it told a wrong offset in 145 of 150 runs, asking in none (ADR 0005).
    """

    def hold(self, upload_id: str, segment: int | None = None) -> AbstractAsyncContextManager[Lease]:
        """Wait for the segment (None: for the whole upload), asking whoever has it to leave.

        Newcomers of one process are served in the order of their arrival. A holder whose process seems dead is
        succeeded: the upload's fence is raised before the newcomer gets it, so that what the holder still commits is
        void (`Upload.require_holder`). Raises Unavailable when a living holder doesn't leave in time.
        """
        ...

    def beating(self) -> AbstractAsyncContextManager[None]:
        """Be there for the other processes inside the block; leases are held only there."""
        ...

    @property
    def node(self) -> str:
        """The name of this process among those that share the uploads."""
        ...

    async def is_held(self, upload_id: str) -> bool:
        """Tell whether anybody writes to this upload now. Only looks; asks nobody."""
        ...

    async def tidy(self) -> None:
        """Take over, and let go of, what processes that are gone have left."""
        ...

    async def gone(self) -> Callable[[str | None], bool] | None:
        """Give a test that tells whether a process (by its node name) is gone; None where that can't be known."""
        ...
