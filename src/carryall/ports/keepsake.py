"""Something small and secret that a plug wants to find again after a restart."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Keepsake(Protocol):
    """One text of bytes, shared by all processes that serve this data folder; nobody else can read or change it."""

    async def load(self) -> bytes | None:
        """Give what was saved last; None where nothing was, and where it was tampered with or can't be opened."""
        ...

    async def save(self, content: bytes | None) -> None:
        """Keep this instead, whole and durably; None keeps nothing. Raises Unavailable when that can't be done."""
        ...

    def held(self) -> AbstractAsyncContextManager[None]:
        """Be alone with it among all processes inside the block. Waits; a process that ends lets go."""
        ...
