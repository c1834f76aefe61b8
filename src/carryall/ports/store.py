"""Where files live."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can do, as data. What is advertised is derived from it.

    Attributes:
        is_local: bytes are on this machine, so a complete upload is stored at once, without a delivery.
        has_links: the provider gives public links of its own.
    """

    is_local: bool = False
    has_links: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store says of one key: its size in bytes and its age in seconds."""

    key: str
    size: int
    age_s: float


class Reading(Protocol):
    """Bytes of a stored file on their way out. Read once, then closed; closing early is fine."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give non-empty chunks of at most 1 MiB. Raises StoreError when the store fails half-way."""
        ...

    async def aclose(self) -> None:
        """Let go of the source. Never raises; may be called twice."""
        ...


class Store(Protocol):
    """Keeps whole files under keys that we generate: `[A-Za-z0-9._-]+`, at most 200 characters.

    A reader sees a file whole or not at all. Errors are StoreError (with `retryable`), NoRoom or Missing.
    """

    @property
    def name(self) -> str:
        """The name in the settings and in `/status`."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do."""
        ...

    async def put(self, key: str, path: Path, *, size: int, media_type: str) -> None:
        """Keep the bytes of a local file of known size; afterwards they are durable and readable.

        Idempotent for the same key and bytes; other bytes under the key are replaced, whole. After a failure or a
        cancellation nothing readable was left, and what was there before is unharmed.
        """
        ...

    async def open(self, key: str, start: int, stop: int) -> Reading:
        """Open the half-open range.

        Raises Missing now, not at the first chunk. What was opened can be read to its end although the key is erased.
        """
        ...

    async def erase(self, key: str) -> None:
        """Remove a key. One that isn't there is no error."""
        ...

    async def stat(self, key: str) -> Stored:
        """Tell a key's size. Raises Missing."""
        ...

    def list(self) -> AsyncIterator[Stored]:
        """Walk over every key, in no order."""
        ...

    async def ready(self) -> None:
        """Raise StoreError when the store can't be used now."""
        ...
