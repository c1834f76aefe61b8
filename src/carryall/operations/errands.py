"""Requests that their client may repeat: the first does the work, the others hear what it was answered.

Order (docs/adr/0021): the key's row before the first upload's, each upload's id in the transaction that opens it, the
answer after the file. So whatever the first attempt left when it died is found by the next one.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog

from carryall.model.errand import Errand
from carryall.model.errors import CarryallError, Conflict, Malformed
from carryall.model.principal import Principal
from carryall.model.upload import State, Upload
from carryall.operations.ingest import Door
from carryall.operations.world import World
from carryall.ports.cancellation import shielded
from carryall.ports.catalog import Tx

log = structlog.get_logger(__name__)

_IN_USE_S = 1  # after so many seconds a repeat may find the first request's answer


@dataclass(frozen=True, slots=True)
class Asked:
    """A request by its client's name for it.

    Attributes:
        owner: whose key it is.
        fingerprint: hexadecimal, the same for the same request and no other.
    """

    owner: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is to do: tell the answer again, or do the work as this errand.

    Attributes:
        errand_id: None where there is an answer already.
        left: uploads that an attempt before opened, and that count: to be answered for, and not made again.
    """

    errand_id: str | None
    answer: str | None = None
    left: Sequence[Upload] = ()


class Errands:
    """Sees that of all requests with one key one does the work."""

    def __init__(self, world: World, door: Door, *, kept_for: timedelta) -> None:
        self._catalog = world.catalog
        self._leases = world.leases
        self._clock = world.clock
        self._ids = world.ids
        self._door = door
        self._kept_for = kept_for

    @asynccontextmanager
    async def attempt(self, principal: Principal, asked: Asked) -> AsyncIterator[Attempt]:
        """Begin a request's work, or learn its answer. Nobody else works on it while the block runs.

        Raises Malformed (`idempotency_key_reused`) for a key of another request, Conflict (`idempotency_key_in_use`)
        while the first one still runs, in whichever process.
        """
        known = await self._catalog.read(lambda tx: tx.errands.get(asked.owner, asked.key))
        if known is not None and known.answer is not None and known.expires_at > self._clock.now():
            _check_same(known, asked)
            yield Attempt(None, known.answer)
            return
        errand = self._new(asked)
        async with self._leases.hold(errand.id):  # before the row: who sees the row sees that somebody works on it
            yield await self._begun(principal, errand, asked)

    def _new(self, asked: Asked) -> Errand:
        now = self._clock.now()
        return Errand(
            id=self._ids.long(),
            owner=asked.owner,
            key=asked.key,
            fingerprint=asked.fingerprint,
            created_at=now,
            expires_at=now + self._kept_for,
        )

    async def _begun(self, principal: Principal, errand: Errand, asked: Asked) -> Attempt:
        known = await self._catalog.write(lambda tx: _first(tx, errand))
        if known is None:
            return Attempt(errand.id)
        _check_same(known, asked)
        if known.answer is not None:
            return Attempt(None, known.answer)
        if await self._leases.is_held(known.id):
            raise _in_use()
        if not await self._catalog.write(lambda tx: tx.errands.take_over(known.id, errand.id)):
            raise _in_use()
        return Attempt(errand.id, left=await self._left(principal, known))

    async def _left(self, principal: Principal, errand: Errand) -> list[Upload]:
        """Give what counts of the uploads before: files, and what can be resumed. The rest is given up."""
        found = []
        for upload_id in errand.uploads:
            upload = await self._catalog.read(lambda tx, wanted=upload_id: tx.uploads.get(wanted))  # type: ignore[misc]
            if upload is not None and upload.state is State.OPEN and not upload.is_resumable:
                await self._door.abort(principal, upload_id)
                upload = await self._door.look(principal, upload_id)  # it may just have become a file
            if upload is not None and upload.state in (State.OPEN, State.SEALED) and not await self._is_void(upload):
                found.append(upload)
        return found

    async def _is_void(self, upload: Upload) -> bool:
        """Tell whether nothing is left of an upload whose file goes as soon as it can't be delivered."""
        if not upload.declared.gives_up or upload.state is not State.SEALED:
            return False
        return await self._catalog.read(lambda tx: tx.files.get(upload.file_id or "")) is None

    async def answered(self, errand_id: str, answer: str) -> None:
        """Keep the answer. Where that fails the next attempt finds what was made, and answers for it."""
        try:
            await shielded(self._catalog.write(lambda tx: tx.errands.answer(errand_id, answer)))
        except CarryallError as error:
            log.warning("errand.not_kept", id=errand_id, reason=error.stable_code)


def _first(tx: Tx, errand: Errand) -> Errand | None:
    """Write an errand; give the one that has its key where there is one that still counts."""
    known = tx.errands.get(errand.owner, errand.key)
    if known is not None and known.expires_at <= errand.created_at:
        tx.errands.remove(errand.owner, errand.key)
        known = None
    if known is None and tx.errands.add(errand):
        return None
    return known or tx.errands.get(errand.owner, errand.key)


def _check_same(known: Errand, asked: Asked) -> None:
    if known.fingerprint != asked.fingerprint:
        raise Malformed(
            "This Idempotency-Key was used for another request. Every request has a key of its own.",
            code="idempotency_key_reused",
        )


def _in_use() -> Conflict:
    return Conflict(
        "The first request with this Idempotency-Key is still under way. Repeat it when that one has ended.",
        code="idempotency_key_in_use",
        retry_after_s=_IN_USE_S,
    )
