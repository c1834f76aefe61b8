"""MEGA's command endpoint: one command after the other, each until it is answered."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from carryall.model.errors import StoreError
from carryall.stores.mega import hashcash
from carryall.stores.mega.errors import Passing, Refusal, is_passing, of_status
from carryall.stores.mega.pauses import TRIES, Pace, pause_s
from carryall.stores.mega.wire import Wire

PATIENCE_S = 120.0
"""How long a command is repeated at most."""

_TRIES_TO_REACH = 3
_CHALLENGES = 3
_LARGE_BYTES = 1 << 18

Hook = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class _Request:
    url: str
    body: bytes
    hook: Hook | None


class Api:
    """Asks MEGA. Commands wait for each other, as its own clients' do."""

    def __init__(self, wire: Wire, base_url: str) -> None:
        self._wire = wire
        self._base_url = base_url.rstrip("/")
        self._turn = asyncio.Lock()
        self._number = secrets.randbelow(1 << 31)
        # No limit is published. A client that keeps to 100 in a minute isn't refused; bursts are usual for all.
        self._pace = Pace(burst=100, per_s=5)
        self._server_time: tuple[float, float] | None = None

    def now_s(self) -> float:
        """Give MEGA's own time, in seconds since 1970: ages and one-time codes are by it, not by our clock."""
        if self._server_time is None:
            return time.time()  # noqa: TID251  # before the first answer there is nothing better
        said, heard = self._server_time
        return said + time.monotonic() - heard

    def secured(self, url: str) -> str:
        """Give a storage URL with TLS, unless commands go without it (in tests)."""
        is_bare = url.startswith("http://") and self._base_url.startswith("https://")
        return f"https://{url[7:]}" if is_bare else url

    async def ask(
        self, command: dict[str, Any], *, sid: str | None, patience_s: float = PATIENCE_S, hook: Hook | None = None
    ) -> Any:
        """Carry one command out, and give its result.

        Repeated with the same number while MEGA is busy or can't be reached, so that it is done once although an
        answer was lost. `hook` sees every JSON object of the answer, as `json.loads` has it.

        Raises:
            Refusal: MEGA answered with an error.
            StoreError: no answer came.
        """
        async with self._turn:
            await self._pace.take()
            self._number += 1
            session = f"&sid={sid}" if sid else ""
            url = f"{self._base_url}/cs?id={self._number}{session}"
            return await self._repeat(_Request(url, json.dumps([command]).encode(), hook), patience_s)

    async def _repeat(self, request: _Request, patience_s: float) -> Any:
        deadline = time.monotonic() + patience_s
        for failures in range(1, TRIES):
            try:
                return await self._once(request)
            except StoreError as error:
                pause = max(pause_s(failures), error.retry_after_s or 0)
                is_late = time.monotonic() + pause > deadline
                is_away = error.stable_code == "store_unreachable" and failures == _TRIES_TO_REACH
                if not is_passing(error) or is_late or is_away:
                    raise
            await asyncio.sleep(pause)
        return await self._once(request)

    async def _once(self, request: _Request) -> Any:
        """Send it once, with proofs of work where they are asked for."""
        proof: str | None = None
        for _ in range(_CHALLENGES + 1):
            headers = {"Content-Type": "application/json"} | ({"X-Hashcash": proof} if proof else {})
            async with self._wire.post(request.url, request.body, headers) as answer:
                self._hear_time(answer)
                if answer.status == 200:
                    return await _result(await answer.read(), request.hook)
                challenge = answer.headers.get("X-Hashcash")
                if answer.status != 402 or challenge is None:
                    raise of_status(answer.status)
            proof = await _proof(challenge)
        raise Passing("MEGA asks for one proof of work after the other.")

    def _hear_time(self, answer: aiohttp.ClientResponse) -> None:
        try:
            said = parsedate_to_datetime(answer.headers["Date"])
        except (KeyError, ValueError):
            return
        self._server_time = (said.timestamp(), time.monotonic())


async def _proof(challenge: str) -> str:
    try:
        return await hashcash.solve(challenge)
    except ValueError as error:
        raise StoreError("MEGA asks for a proof of work of a kind that isn't known.", retryable=False) from error
    except TimeoutError as error:
        raise StoreError(
            "MEGA asks for a proof of work that this machine didn't find in time.", retryable=True, code="store_busy"
        ) from error


async def _result(body: bytes, hook: Hook | None) -> Any:
    """Take the one result out of an answer, which may be an array of it, or an error alone. Raises Refusal."""

    def parse() -> Any:
        return json.loads(body, object_hook=hook)

    try:
        answer = parse() if len(body) < _LARGE_BYTES else await asyncio.to_thread(parse)
    except ValueError as error:
        raise Passing("MEGA answered with something that isn't JSON.") from error
    if isinstance(answer, list):
        answer = answer[0] if answer else 0
    if isinstance(answer, int) and answer < 0:
        raise Refusal(answer)
    return answer
