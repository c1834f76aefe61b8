"""Signed requests over aiohttp, with their time limits and their errors in our words."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from carryall.model.errors import CarryallError
from carryall.stores.s3 import faults
from carryall.stores.s3.account import REGION, Account, Signer
from carryall.stores.s3.addresses import Bucket, bucket_at
from carryall.stores.s3.options import MEBIBYTE, Patience, S3Options
from carryall.stores.s3.parts import Body, Part

_NOTHING: Mapping[str, str] = {}
_ANSWER_BYTES = 16 * MEBIBYTE  # a page of 1,000 keys of 1,024 bytes, each of them as %XX, with room to spare
_READ_BUFFER_BYTES = 256 << 10
_LETTING_GO_S = 0.02  # connections that were cut end behind `close`, when their last bytes have gone


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def etag(self) -> str:
        """Give the ETag without its quotes; "" where there is none."""
        return self.headers.get("ETag", "").strip('"')


class Wire:
    """Talks to one bucket. Every failure is a StoreError, or Missing."""

    def __init__(self, name: str, options: S3Options, account: Account, patience: Patience) -> None:
        self.name = name
        self._options = options
        self._account = account
        self._patience = patience
        self._bucket: Bucket | None = None
        self._session: aiohttp.ClientSession | None = None

    async def signer(self) -> tuple[Signer, Bucket]:
        """Give who signs, and the bucket, whose address depends on the region."""
        signer = await self._account.signer()
        if self._bucket is None:
            self._bucket = bucket_at(self._options, signer.region)
        return signer, self._bucket

    def address(self, key: str) -> str:
        """Give an object's URL without asking; a region that only a profile knows counts from the first request on."""
        bucket = self._bucket or bucket_at(self._options, self._options.region or REGION)
        return bucket.at(key, _NOTHING)

    async def call(
        self,
        method: str,
        key: str | None = None,
        *,
        query: Mapping[str, str] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        body: bytes = b"",
        is_closing: bool = False,
    ) -> Answer:
        """Ask, and read the whole answer; raise where it isn't a success. What is closing is nobody's to cancel."""
        limit_s = self._patience.closing_s if is_closing else None
        try:
            async with asyncio.timeout(limit_s), self._asking(method, key, query, headers, body) as response:
                return await self._success(response)
        except TimeoutError as error:
            raise faults.broken(self.name, error) from error

    async def send(self, key: str, part: Part, *, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Send a part, or a whole file that is one."""
        everything = {**headers, **part.headers}
        async with self._asking("PUT", key, query, everything, Body(part)) as response:
            return await self._success(response)

    async def open(self, key: str, start: int, stop: int) -> aiohttp.ClientResponse:
        """Ask for the half-open range; the caller reads and closes it."""
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        async with self._asking("GET", key, _NOTHING, headers) as response:
            if response.status not in (200, 206):
                await self._success(response)
            return response

    @asynccontextmanager
    async def _asking(
        self,
        method: str,
        key: str | None,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Body | bytes = b"",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; what it gives is closed unless everything was well."""
        signer, bucket = await self.signer()
        url = bucket.at(key, query)
        payload = hashlib.sha256(body).hexdigest() if isinstance(body, bytes) else body.signed
        signed = signer.headers(method, url, headers, payload)
        response = None
        try:
            async with asyncio.timeout(self._patience.connect_s + self._patience.idle_s) as limit:
                if isinstance(body, Body):
                    body.progressed = self._extending(limit)
                response = await self._opened().request(
                    method,
                    URL(url, encoded=True),
                    headers={**signed, "Accept-Encoding": "identity"},  # unsigned: proxies change it
                    data=body or None,
                    allow_redirects=False,
                    skip_auto_headers=("Content-Type",),
                    read_bufsize=_READ_BUFFER_BYTES,
                )
            yield response
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
            raise _failure(body) or faults.broken(self.name, error) from error
        except BaseException:
            if response is not None:
                response.close()
            raise

    def _extending(self, limit: asyncio.Timeout) -> Callable[[], None]:
        """Give what is called at every progress of a body."""
        loop = asyncio.get_running_loop()

        def extend() -> None:
            with suppress(RuntimeError):  # an answer may come before the end of the body, and end the limit
                limit.reschedule(loop.time() + self._patience.idle_s)

        return extend

    async def _success(self, response: aiohttp.ClientResponse) -> Answer:
        """Read an answer whole; raise what it means unless it is a success. An error may come with status 200."""
        body = bytearray()
        while chunk := await response.content.readany():
            body += chunk
            if len(body) > _ANSWER_BYTES:
                raise faults.damaged(self.name, "an answer was far too long.")
        answer = Answer(response.status, CIMultiDict(response.headers), bytes(body))
        if not 200 <= answer.status < 300 or faults.error_code(answer.body):
            raise faults.answered(self.name, answer.status, answer.headers, answer.body)
        return answer

    def _opened(self) -> aiohttp.ClientSession:
        """Give the session, which can only be made while the loop runs."""
        if self._session is None:
            patience = self._patience
            self._session = aiohttp.ClientSession(
                # Who may do how much at a time is decided by whoever wraps the store.
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=patience.connect_s, sock_read=patience.idle_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": "carryall"},
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(_LETTING_GO_S)


def _failure(body: Body | bytes) -> CarryallError | None:
    """Give what the source failed with, where it did."""
    return body.failure if isinstance(body, Body) else None
