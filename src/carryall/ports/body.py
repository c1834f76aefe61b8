"""Bytes on their way in, wherever they come from."""

from collections.abc import AsyncIterator
from typing import Protocol

CHUNK_MAX_BYTES = 1 << 20


class Body(Protocol):
    """A stream of bytes that is read once, from its first byte to its last.

    A chunk is never empty, has at most CHUNK_MAX_BYTES, and comes in order. The iteration ends only after the last
    byte: whatever breaks off before that raises, so that nobody takes a cut body for a whole one. What was given
    before an error is good.
    """

    @property
    def declared_size(self) -> int | None:
        """How many bytes will come, when that was said in advance; a body that ends has given exactly as many."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Read on. Nothing is taken from the client before the first chunk is asked for.

        The iterator may be left at any chunk and cancelled at any await.

        Raises:
            BodyTruncated: the client went away, or sent less than it said.
            BodyStalled: it stopped sending, or sends too slowly.
            Refused: what carries the bytes is broken or passes its limits (a form, for instance).
        """
        ...
