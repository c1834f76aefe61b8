"""The IETF draft "Resumable Uploads for HTTP". docs/resumable-http.md has the rules, I-….

Source: draft-ietf-httpbis-resumable-upload.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from carryall.http import interim
from carryall.http.api.shapes import file_shape
from carryall.http.appends import advised, bounded
from carryall.http.call import Call
from carryall.http.digests import expected_digests
from carryall.http.dispatch import Handler
from carryall.http.errands import Tell, end_of
from carryall.http.headers import clean_media_type, media_type_of
from carryall.http.problems import answer
from carryall.http.protocols.resumable.dialects import Dialect
from carryall.http.protocols.resumable.fields import (
    PARTIAL,
    VERSION,
    dialect_of,
    flag,
    is_end,
    limit,
    number,
    standing,
)
from carryall.http.trailers import content_digests
from carryall.http.who import presented
from carryall.model.errors import CarryallError, Malformed, TypeRefused, Unauthenticated
from carryall.model.file import File
from carryall.model.principal import Principal
from carryall.model.upload import Declared, State, Upload
from carryall.operations.authenticate import Presented, Realm
from carryall.operations.by_flag import Brought, Outcome
from carryall.ports.body import Body

DOOR = "resumable"
_TYPES = "https://iana.org/assignments/http-problem-types#"
Ended = Callable[[Call, Principal, Upload, File], Awaitable[Response]]
_Work = Callable[[Call, Dialect], Awaitable[Response]]


def begins(call: Call) -> bool:
    """Tell whether a request to a target begins an upload with an address of its own.

    A first part does, and so does a whole file whose client can be told the address before its bytes (I-CR1): should
    they break off, it goes on there.
    """
    ends = _told_end(call)
    return ends is False or (ends is True and call.body.declared_size != 0 and _may_announce(call))


def _may_announce(call: Call) -> bool:
    is_spoken = dialect_of(call.headers).version is not None
    return is_spoken and interim.may_announce(call.request.scope, call.context.rules)


def _told_end(call: Call) -> bool | None:
    return None if "tus-resumable" in call.headers else is_end(call.headers, dialect_of(call.headers))


def target(handler: Handler) -> Handler:
    """Let a route that takes a whole file say so to clients of the draft; what `begins` is its own to begin."""

    async def taken(call: Call) -> Response:
        ends = _told_end(call)
        if ends is None:
            return await handler(call)

        async def work(call: Call, dialect: Dialect) -> Response:
            if not ends:
                _check_begins(call)
                return await handler(call)
            _check_whole(call)
            response = await handler(call)
            if dialect.flag not in response.headers:  # an attempt before may only have begun it
                whole = call.body.declared_size or call.body.received  # a repeat isn't read
                response.headers.update({**flag(dialect, complete=True), "Upload-Offset": str(whole)})
            return response

        return await _framed(call, work)

    return taken


async def begin(call: Call, principal: Principal, declared: Declared, *, ended: Ended | None = None) -> Response:
    """Begin an upload of what the target would have made a file of (I-CR1 to I-CR4).

    The answer to a first part has its address; all of it is answered as the target would have.

    Args:
        ended: answers the end, where that isn't the native API's answer.
    """
    dialect, ends = dialect_of(call.headers), _told_end(call) is True
    _check_not_ranged(call)
    size = number(call.headers, "upload-length")
    told = replace(
        declared,
        size=call.body.declared_size if ends and size is None else size,
        media_type=clean_media_type(call.headers.get("content-type")),
        target=declared.target or call.target,
        errand=call.errand,
    )

    async def announce(upload: Upload) -> bool:
        left = limit(dialect, max_size=upload.limit_bytes, max_append=advised(call), age_s=_left_s(call, upload))
        return await interim.send(call.request.scope, {"Location": _address(call, upload), **left, **_version(dialect)})

    body = call.body if ends else bounded(call, principal)
    brought = _brought(call, dialect, body, offset=0, is_end=ends)
    outcome = await call.context.by_flag.begin(
        principal, told, brought, announce=announce if _may_announce(call) else None
    )
    return await _answered(call, principal, outcome, dialect, ended) if ends else _began(call, outcome.upload)


def _began(call: Call, upload: Upload) -> Response:
    """Answer for an upload that has begun, now or before."""
    headers = {**_standing(call, upload, dialect_of(call.headers)), "Location": _address(call, upload)}
    return Response(status_code=201, headers=headers)


def or_began(tell: Tell) -> Tell:
    """Answer as `tell` does for the files that an attempt before left; and for an upload that it only began."""

    async def told(call: Call, principal: Principal, uploads: Sequence[Upload]) -> Response:
        if len(uploads) == 1 and uploads[0].state is State.OPEN:
            return _began(call, uploads[0])
        return await tell(call, principal, uploads)

    return told


def resource(ended: Mapping[str, Ended]) -> Handler:
    """Give what carries out what is asked of an upload at its own address.

    Args:
        ended: answers the end of uploads that came through this door, where that isn't the native API's answer.
    """

    async def append(call: Call, dialect: Dialect) -> Response:
        return await _append(call, dialect, ended)

    verbs: Mapping[str, _Work] = {"HEAD": _tell, "PATCH": append, "DELETE": _cancel}

    async def carry_out(call: Call) -> Response:
        return await _framed(call, verbs[call.method])

    return carry_out


async def limits(call: Call) -> Response:
    """Tell the limits before an upload (I-O1); whoever shows a token hears those of its own plan."""
    most = call.context.rules.tus_max_bytes
    if presented(call.headers) != Presented():
        with suppress(Unauthenticated):
            most = (await call.principal(Realm.NATIVE)).plan.max_file_bytes
    dialect = dialect_of(call.headers)
    told = limit(dialect, max_size=most, max_append=advised(call))
    return Response(status_code=204, headers={**told, "Accept-Patch": PARTIAL})


async def _framed(call: Call, work: _Work) -> Response:
    """Do the work; answer errors as the draft has them, and the version with everything (I-V4)."""
    dialect = dialect_of(call.headers)
    try:
        response = await work(call, dialect)
    except CarryallError as error:
        response = _problem(call, error, dialect)
    response.headers.update(_version(dialect))
    return response


async def _tell(call: Call, dialect: Dialect) -> Response:
    """Tell how far an upload is; whoever still writes to it checkpoints and leaves (I-R1 to I-R5)."""
    principal = await call.principal(Realm.NATIVE)
    upload = await call.context.by_flag.stand(principal, call.params["upload_id"])
    return Response(status_code=204, headers={**_standing(call, upload, dialect), "Cache-Control": "no-store"})


async def _append(call: Call, dialect: Dialect, ended: Mapping[str, Ended]) -> Response:
    """Add bytes; the last ones are answered as the target would have answered them all (I-A1 to I-A10)."""
    principal = await call.principal(Realm.NATIVE)
    if dialect.needs_type and media_type_of(call.headers) != PARTIAL:
        raise TypeRefused(f"Bytes come as {PARTIAL}.", code="media_type_refused")
    offset, ends = number(call.headers, "upload-offset"), is_end(call.headers, dialect)
    if offset is None or ends is None:
        raise Malformed(f"An append says Upload-Offset and {dialect.flag}.", code="header_invalid")
    brought = _brought(call, dialect, bounded(call, principal), offset=offset, is_end=ends)
    outcome = await call.context.by_flag.append(principal, call.params["upload_id"], brought)
    return await _answered(call, principal, outcome, dialect, ended.get(outcome.upload.declared.door))


async def _cancel(call: Call, _dialect: Dialect) -> Response:
    """Give the upload up (I-D1); a file that it became stays (I-D2)."""
    principal = await call.principal(Realm.NATIVE)
    await call.context.by_flag.cancel(principal, call.params["upload_id"])
    return Response(status_code=204)


def _brought(call: Call, dialect: Dialect, body: Body, *, offset: int, is_end: bool) -> Brought:
    digests = expected_digests(call.headers)

    async def progress(held: int) -> None:
        await interim.send(call.request.scope, {"Upload-Offset": str(held), **_version(dialect)})

    return Brought(
        body=body,
        offset=offset,
        is_end=is_end,
        size=number(call.headers, "upload-length"),
        expect=content_digests(call.headers, call.request.scope),
        whole=digests.representation,
        progress=progress if dialect.tells_progress and _may_announce(call) else None,
    )


def _check_begins(call: Call) -> None:
    if media_type_of(call.headers) == "multipart/form-data":
        raise TypeRefused("A form comes whole. Begin an upload with the file's own bytes.", code="media_type_refused")


def _check_not_ranged(call: Call) -> None:
    if "content-range" in call.headers:
        raise Malformed("Parts come to the upload's own address.", code="content_range_refused")


def _check_whole(call: Call) -> None:
    """Hold a body that claims to be the whole to the size that it claims, also where Content-Length is missing."""
    size = number(call.headers, "upload-length")
    if size is None or media_type_of(call.headers) == "multipart/form-data":
        return
    if call.body.declared_size is None:
        call.body.declared_size = size
    if call.body.declared_size != size:
        text = f"Upload-Length says {size} bytes, Content-Length {call.body.declared_size}."
        raise Malformed(text, code="length_inconsistent")


async def _answered(
    call: Call, principal: Principal, outcome: Outcome, dialect: Dialect, ended: Ended | None
) -> Response:
    """Tell what became of the bytes; at the end the file, or what is wrong with it for good (I-A4, I-CR2)."""
    if outcome.file is not None:
        response = await _final(call, principal, outcome.upload, outcome.file, ended)
        response.headers["Upload-Offset"] = str(outcome.file.size)  # tus-js-client takes no end for one without it
    elif outcome.refusal is not None:
        response = _problem(call, outcome.refusal, dialect)
    else:
        return Response(status_code=204, headers=_standing(call, outcome.upload, dialect))
    response.headers.update(flag(dialect, complete=True))
    return response


async def _final(call: Call, principal: Principal, upload: Upload, file: File, ended: Ended | None) -> Response:
    """Answer as the target would have (I-A4): always the same, to whoever asks again (I-A8)."""
    if ended is None:
        return _stored(call, upload, file)
    return await end_of(call, principal, upload, lambda: ended(call, principal, upload, file))


def _stored(call: Call, upload: Upload, file: File) -> Response:
    """Answer as the native API's targets have it."""
    path = upload.declared.path
    parts = ("files", file.id) if path is None else ("by-name", *path.split("/"))
    headers = {"Location": call.url("v1", *parts), "ETag": file.etag}
    status = 200 if upload.declared.is_replacement else 201
    return JSONResponse(file_shape(call, file).model_dump(mode="json"), status, headers)


def _standing(call: Call, upload: Upload, dialect: Dialect) -> dict[str, str]:
    return standing(upload, dialect, age_s=_left_s(call, upload), max_append=advised(call))


def _left_s(call: Call, upload: Upload) -> int:
    return int((upload.expires_at - call.context.clock.now()).total_seconds())


def _address(call: Call, upload: Upload) -> str:
    return call.url("v1", "uploads", upload.id)


def _version(dialect: Dialect) -> dict[str, str]:
    return {} if dialect.version is None else {VERSION: str(dialect.version)}


def _problem(call: Call, error: CarryallError, dialect: Dialect) -> Response:
    """Write an error as a problem (RFC 9457), with what a client needs to go on (I-A2, I-CR8, I-A9)."""
    plain = answer(error, call.request.scope["path"])
    code, status = error.stable_code, plain.status_code
    name, more = "", {}
    headers = {key: value for key, value in plain.headers.items() if key in ("www-authenticate", "retry-after")}
    if code == "offset_mismatch":
        name = "mismatching-upload-offset" if dialect.names_offset else ""
        more = {"expected-offset": error.facts["offset"], "provided-offset": error.facts["given"]}
        headers |= {**flag(dialect, complete=False), "Upload-Offset": str(error.facts["offset"])}
    elif code in ("length_inconsistent", "size_changed"):
        status, name = 400, "inconsistent-upload-length" if dialect.names_length else ""
    elif code in ("upload_complete", "upload_closed"):
        headers |= flag(dialect, complete=False)
        if dialect.names_complete:
            status, name = 400, "completed-upload"
    elif "limit" in error.facts and status == 413:
        is_append = code == "append_too_large"
        most = error.facts["max_size" if is_append else "limit"]
        headers |= limit(dialect, max_size=most, max_append=advised(call))
    kind = {"type": _TYPES + name if name else "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body = {**kind, **json.loads(bytes(plain.body)), **more}
    return JSONResponse(body, status, headers, media_type="application/problem+json")
