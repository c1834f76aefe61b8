"""The IETF draft "Resumable Uploads for HTTP", without interim answers. docs/resumable-http.md has the rules, I-….

Source: draft-ietf-httpbis-resumable-upload.
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from carryall.http.api.shapes import file_shape
from carryall.http.call import Call
from carryall.http.digests import expected_digests
from carryall.http.dispatch import Handler
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
from carryall.http.who import presented
from carryall.model.errors import CarryallError, Malformed, TypeRefused, Unauthenticated
from carryall.model.file import File
from carryall.model.principal import Principal
from carryall.model.upload import Declared, Upload
from carryall.operations.authenticate import Presented, Realm
from carryall.operations.by_flag import Brought

DOOR = "resumable"
_TYPES = "https://iana.org/assignments/http-problem-types#"
_Work = Callable[[Call, Dialect], Awaitable[Response]]


def begins(call: Call) -> bool:
    """Tell whether a request to a target only begins an upload, to be continued elsewhere."""
    return _told_end(call) is False


def _told_end(call: Call) -> bool | None:
    return None if "tus-resumable" in call.headers else is_end(call.headers, dialect_of(call.headers))


def target(handler: Handler, *, takes_parts: bool = True) -> Handler:
    """Let a route that takes a whole file say so to clients of the draft; one that `begins` may begin an upload.

    Args:
        takes_parts: False for a route that never begins one: the first part would pass there for the whole.
    """

    async def taken(call: Call) -> Response:
        ends = _told_end(call)
        if ends is None:
            return await handler(call)

        async def work(call: Call, dialect: Dialect) -> Response:
            if not ends:
                _check_begins(call, takes_parts=takes_parts)
                return await handler(call)
            _check_whole(call)
            response = await handler(call)
            response.headers.update(flag(dialect, complete=True))
            return response

        return await _framed(call, work)

    return taken


async def begin(call: Call, principal: Principal, declared: Declared) -> Response:
    """Begin an upload of what the target would have made a file of (I-CR3, I-CR4); its address is the answer's."""
    dialect = dialect_of(call.headers)
    told = replace(
        declared,
        door=DOOR,
        size=number(call.headers, "upload-length"),
        media_type=clean_media_type(call.headers.get("content-type")),
    )
    upload = await call.context.by_flag.begin(principal, told, _brought(call, offset=0, is_end=False))
    headers = {**_standing(call, upload, dialect), "Location": call.url("v1", "uploads", upload.id)}
    return Response(status_code=201, headers=headers)


async def resource(call: Call) -> Response:
    """Carry out what is asked of an upload at its own address."""
    verbs = {"HEAD": _tell, "PATCH": _append, "DELETE": _cancel}
    return await _framed(call, verbs[call.method])


async def limits(call: Call) -> Response:
    """Tell the limits before an upload (I-O1); whoever shows a token hears those of its own plan."""
    most = call.context.rules.tus_max_bytes
    if presented(call.headers) != Presented():
        with suppress(Unauthenticated):
            most = (await call.principal(Realm.NATIVE)).plan.max_file_bytes
    dialect = dialect_of(call.headers)
    return Response(status_code=204, headers={**limit(dialect, max_size=most), "Accept-Patch": PARTIAL})


async def _framed(call: Call, work: _Work) -> Response:
    """Do the work; answer errors as the draft has them, and the version with everything (I-V4)."""
    dialect = dialect_of(call.headers)
    try:
        response = await work(call, dialect)
    except CarryallError as error:
        response = _problem(call, error, dialect)
    if dialect.version is not None:
        response.headers[VERSION] = str(dialect.version)
    return response


async def _tell(call: Call, dialect: Dialect) -> Response:
    """Tell how far an upload is; whoever still writes to it checkpoints and leaves (I-R1 to I-R5)."""
    principal = await call.principal(Realm.NATIVE)
    upload = await call.context.by_flag.stand(principal, call.params["upload_id"])
    return Response(status_code=204, headers={**_standing(call, upload, dialect), "Cache-Control": "no-store"})


async def _append(call: Call, dialect: Dialect) -> Response:
    """Add bytes; the last ones are answered as the target would have answered them all (I-A1 to I-A10)."""
    principal = await call.principal(Realm.NATIVE)
    if dialect.needs_type and media_type_of(call.headers) != PARTIAL:
        raise TypeRefused(f"Bytes come as {PARTIAL}.", code="media_type_refused")
    offset, ends = number(call.headers, "upload-offset"), is_end(call.headers, dialect)
    if offset is None or ends is None:
        raise Malformed(f"An append says Upload-Offset and {dialect.flag}.", code="header_invalid")
    brought = _brought(call, offset=offset, is_end=ends)
    outcome = await call.context.by_flag.append(principal, call.params["upload_id"], brought)
    if outcome.file is not None:
        response = _stored(call, outcome.upload, outcome.file)
    elif outcome.refusal is not None:
        response = _problem(call, outcome.refusal, dialect)
    else:
        return Response(status_code=204, headers=_standing(call, outcome.upload, dialect))
    response.headers.update(flag(dialect, complete=True))
    return response


async def _cancel(call: Call, _dialect: Dialect) -> Response:
    """Give the upload up (I-D1); a file that it became stays (I-D2)."""
    principal = await call.principal(Realm.NATIVE)
    await call.context.by_flag.cancel(principal, call.params["upload_id"])
    return Response(status_code=204)


def _brought(call: Call, *, offset: int, is_end: bool) -> Brought:
    digests = expected_digests(call.headers)
    return Brought(
        body=call.body,
        offset=offset,
        is_end=is_end,
        size=number(call.headers, "upload-length"),
        expect=digests.content,
        whole=digests.representation,
    )


def _check_begins(call: Call, *, takes_parts: bool) -> None:
    if media_type_of(call.headers) == "multipart/form-data":
        raise TypeRefused("A form comes whole. Begin an upload with the file's own bytes.", code="media_type_refused")
    if not takes_parts:
        raise Malformed("Only whole files are taken here. Begin an upload at /v1/uploads.", code="upload_not_begun")
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


def _stored(call: Call, upload: Upload, file: File) -> Response:
    """Answer as the target would have: the same for whoever asks again (I-A4, I-A8)."""
    path = upload.declared.path
    parts = ("files", file.id) if path is None else ("by-name", *path.split("/"))
    headers = {"Location": call.url("v1", *parts), "ETag": file.etag}
    status = 200 if upload.declared.is_replacement else 201
    return JSONResponse(file_shape(call, file).model_dump(mode="json"), status, headers)


def _standing(call: Call, upload: Upload, dialect: Dialect) -> dict[str, str]:
    left = upload.expires_at - call.context.clock.now()
    return standing(upload, dialect, age_s=int(left.total_seconds()))


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
        headers |= limit(dialect, max_size=error.facts["limit"])
    kind = {"type": _TYPES + name if name else "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body = {**kind, **json.loads(bytes(plain.body)), **more}
    return JSONResponse(body, status, headers, media_type="application/problem+json")
