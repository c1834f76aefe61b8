"""One session of one account, kept over restarts, and opened again when MEGA ended it."""

import asyncio
import hmac
import json
import secrets
import time
from collections import deque
from dataclasses import asdict
from typing import Any

import structlog

from carryall.model.errors import StoreError, Unavailable
from carryall.ports.keepsake import Keepsake
from carryall.stores.mega.api import PATIENCE_S, Api, Hook
from carryall.stores.mega.crypto import b64decode, b64encode
from carryall.stores.mega.errors import SESSION, Refusal
from carryall.stores.mega.keys import Identity, stretched
from carryall.stores.mega.login import log_in
from carryall.stores.mega.options import MegaOptions

# MEGA locks accounts that log in too often, and whose password is tried too often.
REFUSED_S = 300
_LOGINS = 3
_LOGINS_S = 600

_log = structlog.get_logger()


class Session:
    """Carries commands out for the account. Everything of a store shares one."""

    def __init__(self, name: str, api: Api, options: MegaOptions, keepsake: Keepsake) -> None:
        self.api = api
        self._name = name
        self._options = options
        self._keepsake = keepsake
        self._turn = asyncio.Lock()
        self._own: Identity | None = None
        self._logins: deque[float] = deque(maxlen=_LOGINS)
        self._refused: tuple[str, float] | None = None

    async def identity(self, *, spent: str | None = None) -> Identity:
        """Give the session: the one at hand, the one that was kept, or a new one. Never the spent one, by its sid.

        Raises:
            StoreError: the account refuses us, which is remembered for some minutes; or it can't be asked.
        """
        async with self._turn:
            if self._own is None or self._own.sid == spent:
                try:
                    self._own = await self._obtain(spent)
                except Unavailable as error:  # the keepsake's place can't be written
                    raise StoreError(error.message, retryable=True) from error
            return self._own

    async def ask(self, command: dict[str, Any], *, patience_s: float = PATIENCE_S, hook: Hook | None = None) -> Any:
        """Carry a command out; log in again, once, where MEGA has ended the session. Raises as `Api.ask` does."""
        own = await self.identity()
        try:
            return await self.api.ask(command, sid=own.sid, patience_s=patience_s, hook=hook)
        except Refusal as error:
            if error.number != SESSION:
                raise
        own = await self.identity(spent=own.sid)
        return await self.api.ask(command, sid=own.sid, patience_s=patience_s, hook=hook)

    async def _obtain(self, spent: str | None) -> Identity:
        async with self._keepsake.held():  # of several processes, one logs in, and the others find what it kept
            kept = await self._kept()
            if kept is not None and kept.sid != spent:
                return kept
            self._require_calm()
            try:
                own = await log_in(self.api, self._options)
            except StoreError as error:
                if error.stable_code == "store_credentials":
                    self._refused = (error.message, time.monotonic() + REFUSED_S)
                    await self._keep({"refused": self._refused})
                raise
            self._logins.append(time.monotonic())
            await self._keep({"identity": asdict(own) | {"master_key": b64encode(own.master_key)}})
            _log.info("mega.logged_in", store=self._name)
            return own

    def _require_calm(self) -> None:
        now = time.monotonic()
        if self._refused is not None and now < self._refused[1]:
            raise StoreError(self._refused[0], retryable=False, code="store_credentials")
        if len(self._logins) == _LOGINS and now - self._logins[0] < _LOGINS_S:
            left_s = int(_LOGINS_S - (now - self._logins[0])) + 1
            raise StoreError(
                "MEGA ends the sessions of this account as soon as they are opened. Is another program logging it out?",
                retryable=True,
                code="store_busy",
                retry_after_s=left_s,
            )

    async def _kept(self) -> Identity | None:
        """Give the session that was kept for just these credentials; take note of a refusal of them."""
        content = await self._keepsake.load()
        if content is None:
            return None
        try:
            kept = json.loads(content)
            if not hmac.compare_digest(kept["proof"], await self._proof(b64decode(kept["salt"]))):
                return None  # the settings were changed since
            if "refused" in kept:
                self._refused = _refusal(*kept["refused"])
                return None
            return Identity(**kept["identity"] | {"master_key": b64decode(kept["identity"]["master_key"])})
        except (ValueError, KeyError, TypeError):
            return None

    async def _keep(self, what: dict[str, Any]) -> None:
        salt = secrets.token_bytes(16)
        content = {"salt": b64encode(salt), "proof": await self._proof(salt), **what}
        await self._keepsake.save(json.dumps(content).encode())

    async def _proof(self, salt: bytes) -> str:
        """Give what tells these credentials from all others, and tells nothing of them."""
        given = self._options
        credentials = json.dumps([given.api_url, given.email.lower(), given.password, given.totp_secret])
        return b64encode(await asyncio.to_thread(stretched, credentials, salt))


def _refusal(text: str, until: float) -> tuple[str, float] | None:
    """Give a refusal that another process met. Its clock is ours until the machine starts again."""
    return (text, until) if until <= time.monotonic() + REFUSED_S else None
