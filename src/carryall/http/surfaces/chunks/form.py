"""One chunk's form: its bytes land in the session's segment, or wait in a scratch upload until the form says where."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from carryall.http.call import Call
from carryall.http.forms import Field, FilePart, parts
from carryall.http.protocols.form import OVERHEAD_BYTES
from carryall.model.errors import Malformed, Missing, TooLarge, UploadClosed
from carryall.model.principal import Principal
from carryall.model.upload import Declared, Mode, State
from carryall.ports.body import Body
from carryall.ports.cancellation import shielded

DOOR = "chunks"
SESSION = "upload_session_id"
INDEX = "chunk_index"
CHUNK = "chunk"
_INDEX = re.compile(r"[0-9]{1,9}")


@contextmanager
def session_missing(text: str = "Invalid upload_session_id.") -> Iterator[None]:
    """Say that a session isn't there in this surface's words; one that was deleted or expired isn't there either."""
    try:
        yield
    except UploadClosed as closed:
        if closed.facts.get("state") == State.SEALED.value:
            raise
        raise Missing(text, code="session_not_found") from closed
    except Missing as missing:
        raise Missing(text, code="session_not_found") from missing


async def take_chunk(call: Call, principal: Principal) -> None:
    """Take the request's form as one chunk of a session; a chunk of the same index is replaced when this one is whole.

    Raises Malformed (422 where a field is missing or wrong), TooLarge, QuotaExceeded, Missing for a session that isn't
    the principal's, UploadClosed for one that is completed. Whatever is raised, the session is as it was.
    """
    body, rules = call.body, call.context.rules
    size = body.declared_size
    if size is not None and size - OVERHEAD_BYTES > rules.max_chunk_bytes:
        raise _too_large(rules.max_chunk_bytes)
    stream = parts(body, call.headers.get("content-type", ""), rules.form)
    await call.context.admission.body(principal, size=size, overhead=OVERHEAD_BYTES)
    form = _ChunkForm(call, principal, stream)
    try:
        await form.read()
        await form.finish()
    except BaseException as reason:
        if form.scratch_id is not None:
            await shielded(call.context.door.abort(principal, form.scratch_id, reason=reason))
        raise


@dataclass(slots=True)
class _ChunkForm:
    """What a form has brought so far."""

    call: Call
    principal: Principal
    parts: AsyncIterator[Field | FilePart]
    session_id: str | None = None
    index: int | None = None
    has_file: bool = False
    scratch_id: str | None = None

    async def read(self) -> None:
        """Take the parts that are still to come."""
        async for part in self.parts:
            if isinstance(part, Field):
                self.take_field(part)
            elif part.name == CHUNK and part.filename:  # a browser sends an empty name where nothing was chosen
                await self.take_file(part)

    def take_field(self, field: Field) -> None:
        """Take a field; those that aren't known are skipped."""
        if field.name == SESSION:
            _once(SESSION, is_new=self.session_id is None)
            self.session_id = field.value
        elif field.name == INDEX:
            _once(INDEX, is_new=self.index is None)
            self.index = _index(field.value, self.call.context.rules.max_chunks)

    async def take_file(self, part: FilePart) -> None:
        """Land the chunk where it belongs, or aside while the form hasn't said where that is."""
        if self.has_file:
            raise TooLarge("One request brings one chunk.", code="form_too_many_parts", limit=1)
        self.has_file = True
        door, at_most = self.call.context.door, self.call.body.declared_size
        body = _Chunk(part.body, self.call.context.rules.max_chunk_bytes, self.read)
        with session_missing():
            if self.session_id is not None and self.index is not None:
                await door.receive(
                    self.principal, self.session_id, body, segment=self.index, mode=Mode.REPLACE, at_most=at_most
                )
                return
            if self.session_id is not None:
                (await door.look(self.principal, self.session_id)).require_open()
        declared = Declared(name=CHUNK, door=DOOR, at_most=at_most, target=self.call.context.rules.chunk_target)
        scratch = await door.open(self.principal, declared)
        self.scratch_id = scratch.id
        await door.receive(self.principal, scratch.id, body, mode=Mode.REPLACE)

    async def finish(self) -> None:
        """Check that the form had everything; bring a chunk that waited aside to its place."""
        missing = [SESSION] * (self.session_id is None) + [INDEX] * (self.index is None) + [CHUNK] * (not self.has_file)
        if self.session_id is None or self.index is None or missing:
            raise Malformed(
                f"The form lacks {', '.join(missing)}.",
                code="field_missing",
                errors=[{"field": f"body.{name}", "message": "Field required", "type": "missing"} for name in missing],
            )
        if self.scratch_id is not None:
            with session_missing():
                await self.call.context.door.adopt(self.principal, self.scratch_id, self.session_id, segment=self.index)


class _Chunk:
    """A chunk's bytes, no more than one may have; fulfils `carryall.ports.body.Body`.

    It ends when the form has ended: a form that breaks after the chunk breaks the chunk, so nothing of it is kept.
    """

    declared_size: int | None = None

    def __init__(self, body: Body, limit: int, read_rest: Callable[[], Awaitable[None]]) -> None:
        self._pieces = aiter(body)
        self._limit = limit
        self._taken = 0
        self._read_rest = read_rest

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces, None)
        if piece is None:
            await self._read_rest()
            raise StopAsyncIteration
        self._taken += len(piece)
        if self._taken > self._limit:
            raise _too_large(self._limit)
        return piece


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"A chunk may have at most {limit} bytes. Send more, smaller chunks.", code="chunk_too_large", limit=limit
    )


def _once(name: str, *, is_new: bool) -> None:
    if not is_new:
        raise Malformed(f"The form has {name} twice.", code="field_invalid")


def _index(text: str, max_chunks: int) -> int:
    if not _INDEX.fullmatch(text) or int(text) >= max_chunks:
        raise Malformed(
            f"{INDEX} has to be a whole number from 0 to {max_chunks - 1}.",
            code="field_invalid",
            errors=[{"field": f"body.{INDEX}", "message": f"0 to {max_chunks - 1}", "type": "int_parsing"}],
        )
    return int(text)
