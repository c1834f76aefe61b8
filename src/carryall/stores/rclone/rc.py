"""Talking to the daemon: commands, jobs, bytes in and out. Source: rclone's rc API, 1.75."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from yarl import URL

from carryall.model.errors import CarryallError, Missing
from carryall.ports.cancellation import shielded
from carryall.ports.store import Sent
from carryall.stores.rclone.daemon import Daemon
from carryall.stores.rclone.failures import failure, silent, unreachable

T = TypeVar("T")
_CALL_S = 120.0
_SILENCE_S = 120.0  # rclone's own limit is 60 s; it tries again by itself
_LONG_S = 3600.0  # some remotes move a file by copying it
_END_S = 5.0
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command gave, and when: rclone's clock is this machine's."""

    body: dict[str, Any]
    at: datetime


class Rc:
    """The commands of one store's daemon. Errors are Missing or StoreError."""

    def __init__(self, name: str, daemon: Daemon) -> None:
        self._name = name
        self._daemon = daemon

    async def call(self, command: str, **params: Any) -> Answer:
        """Run a command that may as well run twice."""
        return await self._whatever_dies(lambda: self._call(command, params, _CALL_S))

    async def call_once(self, command: str, **params: Any) -> Answer:
        """Run a command that may take long, and is not to run twice."""
        return await self._mapped(lambda: self._call(command, params, _LONG_S))

    async def run(self, command: str, *, told: Sent, **params: Any) -> None:
        """Run a command as a job. Cancelled, it is stopped, and has ended when the cancellation goes on."""
        group = f"carryall/{secrets.token_hex(8)}"
        params |= {"_async": True, "_group": group}
        job = await shielded(self.call(command, **params))  # else nobody knew what to stop
        has_ended = False
        try:
            await self._watch(job.body, group, told)
            has_ended = True
        finally:
            await shielded(self._forget(job.body, group, has_ended=has_ended))

    async def _watch(self, job: dict[str, Any], group: str, told: Sent) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            status = await self._status(job)
            if status["finished"]:
                break
            if pause_s >= _LONGEST_PAUSE_S:
                told(int((await self.call("core/stats", group=group)).body["bytes"]))
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
        if not status["success"]:
            raise failure(self._name, str(status["error"]))

    async def _status(self, job: dict[str, Any]) -> dict[str, Any]:
        status = (await self.call("job/status", jobid=job["jobid"])).body
        if status["executeId"] != job["executeId"]:  # another daemon's job with the same number
            raise unreachable(self._name)
        return status

    async def _forget(self, job: dict[str, Any], group: str, *, has_ended: bool) -> None:
        with suppress(CarryallError, TimeoutError):
            async with asyncio.timeout(_END_S):
                if not has_ended:
                    await self.call("job/stopgroup", group=group)
                    with suppress(CarryallError):  # that it failed is what was wanted
                        await self._watch(job, group, lambda _: None)
                await self.call("core/stats-delete", group=group)

    async def get(self, remote: str, path: str, start: int, stop: int) -> aiohttp.ClientResponse:
        """Open a range of a file, half-open and not empty. Raises Missing."""
        url = URL(f"/{quote(f'[{remote}]', safe='')}/{quote(path)}", encoded=True)
        headers = {"Range": f"bytes={start}-{stop - 1}"}

        async def get() -> aiohttp.ClientResponse:
            session = await self._daemon.session()
            timeout = aiohttp.ClientTimeout(total=None, sock_read=_SILENCE_S)
            response = await session.get(url, headers=headers, timeout=timeout)
            if response.status == 206:
                return response
            async with response:
                raise failure(self._name, (await _said(response)).get("error", ""))

        return await self._whatever_dies(get)

    async def upload(
        self, remote: str, folder: str, name: str, body: Callable[[], AsyncIterator[bytes]], *, size: int
    ) -> None:
        """Stream a file into a folder. `name` is of our making, in ASCII. What `body` raises is raised."""
        edge = secrets.token_hex(16)
        head = (
            f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{edge}--\r\n".encode()
        broken: list[CarryallError] = []  # aiohttp would tell only that the body broke

        async def parts() -> AsyncIterator[bytes]:
            yield head
            try:
                async for chunk in body():
                    yield chunk
            except CarryallError as error:
                broken.append(error)
                raise
            yield tail

        async def post() -> None:
            await self._post(
                URL("/operations/uploadfile").with_query(fs=remote, remote=folder),
                timeout=aiohttp.ClientTimeout(total=None),  # the remote sets the pace
                data=parts(),
                headers={
                    "Content-Type": f"multipart/form-data; boundary={edge}",
                    "Content-Length": str(len(head) + size + len(tail)),
                },
            )

        try:
            await self._mapped(post)
        except CarryallError:
            if broken:
                raise broken[0] from None
            raise

    async def _call(self, command: str, params: dict[str, Any], timeout_s: float) -> Answer:
        return await self._post(f"/{command}", timeout=aiohttp.ClientTimeout(total=timeout_s), json=params)

    async def _post(self, url: str | URL, **request: Any) -> Answer:
        session = await self._daemon.session()
        async with session.post(url, **request) as response:
            body = await _said(response)
            if response.status != 200:
                raise failure(self._name, str(body.get("error", "")))
            return Answer(body, parsedate_to_datetime(response.headers["Date"]))

    async def _whatever_dies(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it once more when the daemon died over it: another one is started."""
        try:
            return await self._mapped(work)
        except CarryallError as error:
            if not isinstance(error.__cause__, aiohttp.ClientError) or not await self._daemon.is_gone(_END_S / 10):
                raise
        return await self._mapped(work)

    async def _mapped(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except TimeoutError as error:
            raise silent(self._name) from error
        except aiohttp.ClientError as error:
            raise unreachable(self._name) from error


async def _said(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Read an answer; one that isn't JSON says nothing."""
    try:
        body = await response.json(content_type=None)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


async def unless_missing(work: Awaitable[T]) -> T | None:
    """Give None for what isn't there."""
    try:
        return await work
    except Missing:
        return None
