"""Where files live."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, Protocol

Sent = Callable[[int], None]
"""Is told how many bytes of a file have been taken so far; may be told less again when something is sent anew."""


def _nobody(_: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can do, as data. What is advertised is derived from it.

    Attributes:
        is_local: bytes are on this machine and in a folder of ours alone: a complete upload may be adopted without a
            delivery, and what no row points at is swept.
        has_links: the provider gives public links of its own.
        has_room: `about` tells how much room there is.
        keys: "generated" keys are `[A-Za-z0-9._-]+`, at most 200 characters, and never the same for two files. The
            others are `owner/file id/name`, at most 1,024 bytes together: "encoded" ones with every character that
            isn't plain in a URL as %XX, "named" ones as people write them, but for what can't be in a path.
    """

    is_local: bool = False
    has_links: bool = False
    has_room: bool = False
    keys: Literal["generated", "encoded", "named"] = "generated"


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store says of one file.

    Attributes:
        location: where it is, as `put` gave it.
        size: in bytes.
        age_s: seconds since it was put there.
        tag: changes when the bytes do (a checksum or an ETag of the provider's), where there is one.
    """

    location: str
    size: int
    age_s: float
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """A store's room in bytes; None where the provider doesn't say."""

    total: int | None
    used: int | None
    free: int | None


class Reading(Protocol):
    """Bytes of a stored file on their way out. Read once, then closed; closing early is fine."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give non-empty chunks of at most 1 MiB. Raises StoreError when the store fails half-way."""
        ...

    async def aclose(self) -> None:
        """Let go of the source. Never raises; may be called twice."""
        ...


class Source(Protocol):
    """A whole file on its way into a store. Its size is known; it may be read again, and in several ranges at once."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    @property
    def name(self) -> str:
        """What people call the file: the client's name for it. Data, never a path."""
        ...

    @property
    def media_type(self) -> str:
        """What it is served as."""
        ...

    @property
    def sha256(self) -> str:
        """Lower-case hexadecimal."""
        ...

    @property
    def path(self) -> Path | None:
        """Where the bytes lie on this machine, for those who can link or read a file; None where they don't."""
        ...

    async def open(self, start: int, stop: int) -> Reading:
        """Open the half-open range. Raises StoreError or Missing."""
        ...


class Store(Protocol):
    """Keeps whole files. A reader sees a file whole or not at all.

    Errors are Missing, NoRoom (this machine's disk) or StoreError. A StoreError says by `retryable` whether trying
    again can help, by `retry_after_s` when, where the provider said so, and by its code what is wrong:

        store_credentials   the account refuses us (not retryable)
        store_not_found     the bucket, remote or folder isn't there (not retryable)
        store_full          the account has no room (not retryable)
        store_refused       it will never take this file, whoever asks: too large, taken down (not retryable)
        store_unreachable   no connection, no name, no TLS
        store_timeout       it stopped answering
        store_busy          it asks to come back later
        store_damaged       what arrived there, or comes back, is not what was sent
        store_failed        anything else

    Its text is for people: what failed, and what to do; never a secret, a signed URL or a path of this machine.
    """

    @property
    def name(self) -> str:
        """The name in the settings and in `/status`."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do."""
        ...

    async def put(self, key: str, source: Source, *, sent: Sent = _nobody) -> Stored:
        """Keep a file; give where it is.

        Afterwards it is durable, readable and verified: its size, and the provider's checksum where it has one.
        Idempotent for the same key and bytes, also after a crash whose answer nobody heard: there is one file then.
        Other bytes under the key are replaced, whole. After a failure or a cancellation nothing readable was left, and
        what was there before is unharmed.
        """
        ...

    async def open(self, location: str, start: int, stop: int) -> Reading:
        """Open the half-open range.

        Raises Missing now, not at the first chunk. What was opened can be read to its end although it is erased
        meanwhile, where the provider allows that.
        """
        ...

    async def erase(self, location: str) -> None:
        """Remove a file. One that isn't there is no error.

        Instead of a location it takes the key of a put whose answer nobody heard.
        """
        ...

    async def stat(self, location: str) -> Stored:
        """Tell what is there. Raises Missing."""
        ...

    def list(self) -> AsyncIterator[Stored]:
        """Walk over everything in the store's own folder, bucket prefix or root, in no order."""
        ...

    async def link(self, location: str) -> str | None:
        """Give the provider's public link, made now where there is none; None where it has none. Raises Missing."""
        ...

    def address(self, location: str) -> str | None:
        """Give the provider's own URL of a file, for those with an account there; None where it has none.

        Asks nobody.
        """
        ...

    async def about(self) -> Room:
        """Tell the room."""
        ...

    async def abort_leftovers(self, older_than: timedelta) -> int:
        """Remove what puts have left that began before that long and never ended; give how many there were.

        Puts of this process that are under way are left alone, whatever their age.
        """
        ...

    async def ready(self) -> None:
        """Raise StoreError when the store can't be used now. Asks the provider; may take seconds."""
        ...

    def path(self, location: str) -> Path | None:
        """Tell where the bytes lie on this machine, if they do. Looks at nothing."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads. May be called twice; afterwards nothing else is."""
        ...
