"""Parts of a file on their way to the provider, with what protects them there."""

import base64
import hashlib
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import StreamWriter
from aiohttp.payload import Payload

from carryall.model.errors import CarryallError
from carryall.stores.s3.account import UNSIGNED

Buffer = bytearray | bytes | memoryview
Chunks = Callable[[], AsyncIterator[Buffer]]
Protection = Literal["crc32", "sha256", "tls"]


class Checksum:
    """Grows with the bytes of a part.

    "crc32" is signed as a header and checked by the provider; "sha256" is signed as the payload's, for providers that
    don't know the header; with "tls" the connection protects the bytes and nothing is computed.
    """

    def __init__(self, protection: Protection) -> None:
        self.protection = protection
        self._crc32 = 0
        self._sha256 = hashlib.sha256()

    def update(self, data: Buffer) -> None:
        """Take more bytes."""
        if self.protection == "crc32":
            self._crc32 = zlib.crc32(data, self._crc32)
        elif self.protection == "sha256":
            self._sha256.update(data)

    @property
    def crc32(self) -> str:
        """Give it as S3 writes it: base64 of four bytes, the highest first; "" where there is none."""
        return base64.b64encode(self._crc32.to_bytes(4, "big")).decode() if self.protection == "crc32" else ""

    @property
    def payload(self) -> str:
        """Give what is signed of the body."""
        return self._sha256.hexdigest() if self.protection == "sha256" else UNSIGNED


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that can be sent, and sent again.

    Attributes:
        chunks: gives them from the beginning, each time.
        told: is told how many of them are on their way.
    """

    size: int
    chunks: Chunks
    checksum: Checksum
    told: Callable[[int], None]

    @property
    def headers(self) -> dict[str, str]:
        """Give what is sent along."""
        return {"x-amz-checksum-crc32": self.checksum.crc32} if self.checksum.crc32 else {}


class Body(Payload):
    """One try of sending a part, as aiohttp wants it.

    Where it is given up, its connection is torn: what still waits in the socket's buffer holds memory that the next
    part is read into, and must not be sent any more.

    Attributes:
        signed: what is signed of it.
        progressed: is called whenever bytes were taken.
        failure: what the source failed with, which aiohttp would hide.
    """

    def __init__(self, part: Part) -> None:
        super().__init__(None)
        self._size = part.size
        self._part = part
        self.signed = part.checksum.payload
        self.progressed: Callable[[], None] = lambda: None
        self.failure: CarryallError | None = None

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send everything."""
        sent = 0
        try:
            async for chunk in self._part.chunks():
                await writer.write(chunk)
                sent += len(chunk)
                self._part.told(sent)
                self.progressed()
        except BaseException as error:
            self.failure = error if isinstance(error, CarryallError) else None
            if isinstance(writer, StreamWriter) and writer.transport is not None:
                writer.transport.abort()
            raise

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Refuse: a part is no text."""
        raise TypeError("A part is no text.")
