"""Reading a file, or a range of it: fetched, decrypted, and given in chunks."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import aiohttp

from carryall.model.errors import CarryallError, Missing, StoreError
from carryall.stores.mega import errors
from carryall.stores.mega.crypto import BLOCK_BYTES, PassingMac, counter
from carryall.stores.mega.errors import Passing, Refusal, is_passing, of_connection, of_status, part
from carryall.stores.mega.nodes import Place
from carryall.stores.mega.pauses import pause_s
from carryall.stores.mega.session import Session
from carryall.stores.mega.wire import Wire

_TRIES = 4
_PATIENCE_S = 15  # somebody waits for the file, and there may be another copy
_CHUNK_BYTES = 1 << 20


async def describe(session: Session, place: Place, *, urls: bool = False) -> dict[str, Any]:
    """Give what MEGA says of a file: its size `s`, its attributes `at`, and with `urls` where to read it, `g`.

    Raises:
        Missing: there is no such file.
        StoreError: `store_refused` where it was taken down.
    """
    try:
        command = {"a": "g", "n": place.handle, "ssl": 2} | ({"g": 1} if urls else {})
        found: dict[str, Any] = await session.ask(command, patience_s=_PATIENCE_S)
    except Refusal as error:
        raise _told(error.number, None) or error from error
    number = errors.BLOCKED if found.get("d") else found.get("e")
    if number:
        raise _told(number, found.get("tl")) or Refusal(number)
    return found


def _told(number: int, left_s: int | None) -> CarryallError | None:
    """Give the error of a file that MEGA doesn't give out, as far as it isn't about the account."""
    match number:
        case errors.NOT_FOUND:
            return missing()
        case errors.BLOCKED:
            return StoreError("MEGA has taken the file down.", retryable=False, code="store_refused")
        case errors.OVER_QUOTA | errors.TEMPORARILY:
            return Passing("MEGA doesn't give the file out now.", retry_after_s=left_s or None)
    return None


def missing() -> Missing:
    """Give the error of a file that isn't there."""
    return Missing("The stored file isn't there.", code="file_damaged")


class MegaReading:
    """Implements `ports.store.Reading` over one download, begun anew where the connection breaks.

    Who reads the whole file gets the right one, or store_damaged in place of its last bytes.
    """

    def __init__(self, session: Session, wire: Wire, place: Place, start: int, stop: int) -> None:
        self._session = session
        self._wire = wire
        self._place = place
        self._at = start
        self._stop = stop
        self._url = ""
        self._check: PassingMac | None = None  # a part of a file can't be checked
        self._answer: aiohttp.ClientResponse | None = None

    async def begin(self) -> "MegaReading":
        """Ask for the file, and for its first bytes. Raises Missing or StoreError."""
        found = await self._address()
        if self._at == 0 < self._stop == found.get("s"):
            self._check = PassingMac(self._place.key, self._stop)
        if self._at < self._stop:
            await self._connect()
        return self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the range in chunks."""
        failures = 0
        while self._at < self._stop:
            before = self._at
            try:
                async with aclosing(self._decrypted()) as chunks:
                    async for chunk in chunks:
                        self._at += len(chunk)
                        self._look_at(chunk)
                        yield chunk
                if self._at < self._stop:
                    raise Passing("MEGA ended a download too early.", code="store_unreachable")
            except StoreError as error:
                failures = failures + 1 if self._at == before else 1
                if not is_passing(error) or error.retry_after_s or failures == _TRIES:
                    raise
                await asyncio.sleep(pause_s(failures))

    async def aclose(self) -> None:
        """Let go of the connection."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _look_at(self, chunk: bytes) -> None:
        """Check a whole file, before its last bytes are given."""
        if self._check is None:
            return
        self._check.add(chunk)
        if self._at == self._stop and not self._check.is_right():
            raise StoreError("What came from MEGA isn't what was sent there.", retryable=True, code="store_damaged")

    async def _decrypted(self) -> AsyncGenerator[bytes, None]:
        """Read what is left of the range from one connection."""
        answer = self._answer or await self._connect()
        aligned = self._at // BLOCK_BYTES * BLOCK_BYTES
        decrypting = counter(self._place.key, aligned)
        dropped = self._at - aligned
        try:
            async for cipher in answer.content.iter_any():
                for at in range(0, len(cipher), _CHUNK_BYTES):
                    plain = decrypting.update(cipher[at : at + _CHUNK_BYTES])
                    chunk, dropped = plain[dropped:][: self._stop - self._at], max(0, dropped - len(plain))
                    if chunk:
                        yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise of_connection(error) from error
        finally:
            await self.aclose()

    async def _connect(self) -> aiohttp.ClientResponse:
        """Begin the download at the next byte; at a new address where the old one doesn't work (any more)."""
        answer = await self._get()
        if answer.status not in {200, 509}:
            answer.close()
            await self._address()
            answer = await self._get()
        if answer.status != 200:
            answer.close()
            raise of_status(answer.status, answer.headers.get("X-MEGA-Time-Left"))
        self._answer = answer
        return answer

    async def _address(self) -> dict[str, Any]:
        found = await describe(self._session, self._place, urls=True)
        self._url = self._session.api.secured(part(found, "g"))
        return found

    async def _get(self) -> aiohttp.ClientResponse:
        start = self._at // BLOCK_BYTES * BLOCK_BYTES
        return await self._wire.get(f"{self._url}/{start}-{self._stop - 1}")
