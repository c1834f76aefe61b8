"""Sending one file: encrypted piece by piece, several at once, at an address that MEGA gives for it."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from carryall.model.errors import CarryallError, StoreError
from carryall.ports.store import Sent, Source
from carryall.stores.mega import errors
from carryall.stores.mega.crypto import FileKey, b64encode, chunk_mac, chunks, counter, file_mac, post_checksum
from carryall.stores.mega.errors import Passing, Refusal, Restart, is_passing, of_status, part
from carryall.stores.mega.pauses import TRIES, pause_s
from carryall.stores.mega.session import Session
from carryall.stores.mega.wire import Wire

RESTARTS = 3
"""How often an upload is begun again at another address."""

_PIECE_BYTES = 4 << 20
_TOKEN_BYTES = 36
_STARTS_AGAIN = {errors.RATE_LIMIT, errors.FAILED, errors.EXPIRED, errors.NOT_FOUND}


@dataclass(frozen=True, slots=True)
class Piece:
    """Some canonical chunks in a row: what one POST carries."""

    number: int
    chunks: tuple[tuple[int, int], ...]

    @property
    def start(self) -> int:
        """Its first byte."""
        return self.chunks[0][0] if self.chunks else 0

    @property
    def stop(self) -> int:
        """The byte after its last one."""
        return self.chunks[-1][1] if self.chunks else 0


def pieces(size: int) -> Iterator[Piece]:
    """Cut a file at canonical boundaries; an empty one has one piece of nothing."""
    number, run = 0, list[tuple[int, int]]()
    for start, stop in chunks(size):
        if run and stop - run[0][0] > _PIECE_BYTES:
            yield Piece(number, tuple(run))
            number, run = number + 1, []
        run.append((start, stop))
    yield Piece(number, tuple(run))


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A piece as it is sent, and the MACs of its chunks."""

    macs: bytes
    cipher: bytearray
    checksum: str


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Bytes that lie at MEGA, and belong to no node yet."""

    token: str
    key: FileKey


@dataclass(frozen=True, slots=True)
class Way:
    """What files are sent over.

    Attributes:
        thread: encrypts. One for all files: AES here keeps the interpreter's lock, so that more of them would only
            make the event loop wait.
        parallel: how many pieces of a file are on their way at once.
    """

    session: Session
    wire: Wire
    thread: ThreadPoolExecutor
    parallel: int


async def upload(way: Way, source: Source, *, sent: Sent) -> Uploaded:
    """Send a file's bytes.

    An address that doesn't work any more is exchanged for a new one, some times; the file is sent anew then.

    Raises:
        StoreError: as in `ports.store`.
    """
    restarts = 0
    while True:
        place = await way.session.ask({"a": "u", "s": source.size, "ssl": 2, "v": 2})
        try:
            return await _Sending(way, way.session.api.secured(part(place, "p")), source, sent).run()
        except Restart:
            if restarts == RESTARTS:
                raise
        restarts += 1
        sent(0)
        await asyncio.sleep(pause_s(restarts))


class _Sending:
    """One file at one address, under one new key."""

    def __init__(self, way: Way, url: str, source: Source, sent: Sent) -> None:
        self._way = way
        self._url = url
        self._source = source
        self._sent = sent
        self._key = FileKey(key=os.urandom(16), nonce=os.urandom(8))
        self._left = pieces(source.size)
        self._macs: dict[int, bytes] = {}
        self._stored_bytes = 0
        self._token: bytes | None = None

    async def run(self) -> Uploaded:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._way.parallel):
                    group.create_task(self._work())
        except BaseExceptionGroup as failed:
            raise _first(failed) from failed
        if self._token is None:
            raise Restart("MEGA took all bytes and didn't say that it has them.")
        macs = b"".join(self._macs[number] for number in sorted(self._macs))
        key = FileKey(self._key.key, self._key.nonce, file_mac(self._key, macs))
        return Uploaded(token=b64encode(self._token), key=key)

    async def _work(self) -> None:
        """Take one piece after the other, until none is left."""
        loop = asyncio.get_running_loop()
        for piece in self._left:
            plain = await self._read(piece)
            sealed = await loop.run_in_executor(self._way.thread, _sealed, self._key, piece, plain)
            del plain
            self._macs[piece.number] = sealed.macs
            await self._post(f"{self._url}/{piece.start}?d={sealed.checksum}", sealed.cipher)
            self._stored_bytes += piece.stop - piece.start
            self._sent(self._stored_bytes)

    async def _read(self, piece: Piece) -> bytearray:
        plain = bytearray()
        reading = await self._source.open(piece.start, piece.stop)
        try:
            async for chunk in reading:
                plain += chunk
        finally:
            await reading.aclose()
        return plain

    async def _post(self, url: str, cipher: bytearray) -> None:
        """Send a piece until MEGA has it; a passing trouble costs no more than this piece."""
        for failures in range(1, TRIES):
            try:
                return await self._post_once(url, cipher)
            except StoreError as error:
                if not is_passing(error) or error.retry_after_s:
                    raise
            await asyncio.sleep(pause_s(failures))
        return await self._post_once(url, cipher)

    async def _post_once(self, url: str, cipher: bytearray) -> None:
        async with self._way.wire.post(url, cipher) as answer:
            if answer.status in {403, 404}:
                raise Restart("MEGA doesn't know the upload any more.")
            if answer.status != 200:
                raise of_status(answer.status, answer.headers.get("X-MEGA-Time-Left"))
            said = await answer.content.read(1024)
        if len(said) == _TOKEN_BYTES:
            self._token = said
        elif said not in {b"", b"0"}:
            raise _post_error(said)


def _sealed(key: FileKey, piece: Piece, plain: bytearray) -> _Sealed:
    """Encrypt a piece, a chunk at a time: the interpreter's lock is let go after a millisecond then."""
    encrypting = counter(key, piece.start)
    macs, cipher = bytearray(), bytearray()
    with memoryview(plain) as view:
        for start, stop in piece.chunks:
            chunk = view[start - piece.start : stop - piece.start]
            macs += chunk_mac(key, chunk)
            cipher += encrypting.update(chunk)
    return _Sealed(bytes(macs), cipher, b64encode(post_checksum(cipher)))


def _post_error(said: bytes) -> StoreError:
    """Give the error that stands in the answer to a POST."""
    try:
        number = int(said)
    except ValueError:
        return Passing("MEGA answered to a piece of a file with something unknown.")
    if number in _STARTS_AGAIN:
        return Restart("MEGA gave the upload up.")
    if number == errors.KEY:
        return Passing("A piece of a file was damaged on its way to MEGA.", code="store_damaged")
    return Refusal(number)


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the one error that ended the others; a final one before one that passes."""
    known = [error for error in failed.exceptions if isinstance(error, CarryallError)]
    return min(known, key=lambda error: error.retryable) if known else failed.exceptions[0]
