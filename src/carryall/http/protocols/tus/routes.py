"""tus 1.0.0 (tus.io): headers into verbs, verbs into headers. docs/protocols.md has the rules, T-…."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from starlette.responses import Response

from carryall.http.api.uploads import show
from carryall.http.appends import bounded
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute
from carryall.http.errands import once
from carryall.http.headers import http_date, media_type_of
from carryall.http.interim import is_direct
from carryall.http.problems import answer
from carryall.http.protocols.tus.fields import ALGORITHMS, checksum, declared_of, number, one, parts_of
from carryall.http.trailers import takes_trailers
from carryall.model.errors import CarryallError, Malformed, PreconditionFailed, Refused, TypeRefused
from carryall.model.principal import Principal
from carryall.model.upload import State, Upload
from carryall.operations.authenticate import Realm
from carryall.operations.resumable import Progress
from carryall.operations.sight import alive

VERSION = "1.0.0"
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
    "concatenation-unfinished",
)
DOOR = "tus"
PREFIXES = ("/files", "/upload_tus", "/v1/uploads")
_STREAM = "application/offset+octet-stream"
_OVERRIDABLE = frozenset({"PATCH", "DELETE", "HEAD"})
# Where tus, or its clients, want another status than the same error has elsewhere (T-K3, T-D3, T-N7).
_STATUS = {"digest_mismatch": 460, "size_changed": 400, "upload_is_final": 403}

Verb = Callable[[Call, Principal], Awaitable[Response]]


def byte_routes(_context: Context) -> list[ByteRoute]:
    """Give the routes: each prefix with and without its last slash, and its uploads."""
    routes = []
    for prefix in PREFIXES:
        routes += [
            ByteRoute(("POST", "OPTIONS"), prefix, _collection),
            ByteRoute(("POST", "OPTIONS"), prefix + "/", _collection),
            ByteRoute(("GET", "HEAD", "PATCH", "DELETE", "POST", "OPTIONS"), prefix + "/{upload_id}", _item),
        ]
    return routes


async def _collection(call: Call) -> Response:
    return await _framed(call, {"POST": _create})


async def _item(call: Call) -> Response:
    verbs = {"HEAD": _tell, "PATCH": _append, "DELETE": _terminate, "GET": show}
    return await _framed(call, verbs)


async def _framed(call: Call, verbs: Mapping[str, Verb]) -> Response:
    """Carry out the method that is meant, between what every tus exchange begins and ends with (T-H1, T-H2, T-H7)."""
    if call.method == "OPTIONS":
        return _options(call)
    method = _meant(call)
    verb = verbs.get(method)
    try:
        if verb is None:
            raise Malformed(f"{method} means nothing here.", code="method_not_allowed")
        if method != "GET" and call.headers.get("tus-resumable") != VERSION:
            raise PreconditionFailed(f"This server speaks tus {VERSION}.", code="tus_version")
        response = await verb(call, await call.principal(Realm.NATIVE))
    except CarryallError as error:
        response = answer(error, call.request.scope["path"])
        response.status_code = _STATUS.get(error.stable_code, response.status_code)
        if error.stable_code == "tus_version":
            response.headers["Tus-Version"] = VERSION
        if response.status_code == 405:
            response.headers["Allow"] = ", ".join((*verbs, "OPTIONS"))
    response.headers["Tus-Resumable"] = VERSION
    return response


def _meant(call: Call) -> str:
    """Give the method that is meant: some networks let only GET and POST through (T-H7)."""
    override = call.headers.get("x-http-method-override")
    return override if call.method == "POST" and override in _OVERRIDABLE else call.method


def _options(call: Call) -> Response:
    """Say what is spoken here (T-O1); whoever asks needs no token."""
    # What a proxy drops must not be promised (T-KT1).
    has_trailers = takes_trailers(call.request.scope) and is_direct(call.request.scope, call.context.rules)
    headers = {
        "Tus-Resumable": VERSION,
        "Tus-Version": VERSION,
        "Tus-Extension": ",".join((*EXTENSIONS, "checksum-trailer") if has_trailers else EXTENSIONS),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }
    limit = call.context.rules.tus_max_bytes
    if limit is not None:
        headers["Tus-Max-Size"] = str(limit)
    return Response(status_code=204, headers=headers)


async def _create(call: Call, principal: Principal) -> Response:
    return await once(call, principal, _begin, _begun)


async def _begin(call: Call, principal: Principal) -> Response:
    """Begin an upload, and take the first bytes if there are any (T-C2 to T-C7, T-D1, T-W1 to T-W6, T-N1, T-N3)."""
    parts = parts_of(call.headers, own_host=urlsplit(call.url()).netloc, prefixes=PREFIXES)
    size = _declared_size(call, is_final=bool(parts))
    declared = declared_of(call.headers, door=DOOR, size=size)
    declared = replace(declared, target=declared.target or call.target, errand=call.errand)
    brings_bytes = _brings_bytes(call)
    if parts and brings_bytes:
        raise Malformed("A final upload brings no bytes of its own.", code="parts_invalid")
    expect = checksum(call.headers, call.request.scope)
    progress = await call.context.resumable.begin(principal, declared, parts=parts)
    if brings_bytes:
        progress = await _first_bytes(call, principal, progress.upload.id, expect)
    return _created(call, progress.upload)


async def _begun(call: Call, _principal: Principal, uploads: Sequence[Upload]) -> Response:
    """Answer for an upload that an attempt before began, however far it came (T-W5)."""
    return _created(call, uploads[0])


def _created(call: Call, upload: Upload) -> Response:
    location = call.url(*call.request.scope["path"].strip("/").split("/"), upload.id)
    return Response(status_code=201, headers={**_state(upload), **_offset(upload), "Location": location})


def _brings_bytes(call: Call) -> bool:
    """Tell whether a creation has a body. Raises TypeRefused for one that isn't said to be the upload's (T-W2)."""
    has_body = bool(call.body.declared_size) or "transfer-encoding" in call.headers
    if has_body and media_type_of(call.headers) != _STREAM:
        raise TypeRefused(f"Bytes come as {_STREAM}.", code="media_type_refused")
    return has_body


async def _first_bytes(call: Call, principal: Principal, upload_id: str, expect: Mapping[str, str]) -> Progress:
    """Take what a creation brings. What is refused isn't kept: its client hears no Location (T-W5, T-W6)."""
    try:
        body = bounded(call, principal)
        return await call.context.resumable.append(principal, upload_id, body, offset=0, expect=expect)
    except CarryallError as error:
        if expect or isinstance(error, Refused):
            await call.context.door.abort(principal, upload_id, reason=error)
        raise


def _declared_size(call: Call, *, is_final: bool) -> int | None:
    size, later = number(call.headers, "upload-length"), one(call.headers, "upload-defer-length")
    if is_final:
        if size is not None or later is not None:
            raise Malformed("A final upload has no Upload-Length: its parts tell it.", code="header_invalid")
        return None
    if (size is None) == (later is None) or later not in (None, "1"):
        raise Malformed("Send either Upload-Length or Upload-Defer-Length: 1.", code="header_invalid")
    return size


async def _tell(call: Call, principal: Principal) -> Response:
    """Tell how far an upload is; whoever still writes to it checkpoints and leaves (T-HD1 to T-HD6, T-N8)."""
    progress = await call.context.resumable.stand(principal, call.params["upload_id"])
    upload = alive(progress.upload, call.context.clock.now())
    headers = {**_state(upload), "Cache-Control": "no-store"}
    if upload.size is not None:
        headers["Upload-Length"] = str(upload.size)
    elif not upload.declared.parts:
        headers["Upload-Defer-Length"] = "1"
    headers.update(_offset(upload))
    if upload.declared.raw_metadata is not None:
        headers["Upload-Metadata"] = upload.declared.raw_metadata
    if upload.declared.is_part or upload.declared.raw_parts:
        headers["Upload-Concat"] = upload.declared.raw_parts or "partial"
    return Response(status_code=200, headers=headers)


async def _append(call: Call, principal: Principal) -> Response:
    """Add bytes at the offset that both agree on (T-P1 to T-P9, T-D3, T-D4, T-K1 to T-KT2)."""
    if media_type_of(call.headers) != _STREAM:
        raise TypeRefused(f"Bytes come as {_STREAM}.", code="media_type_refused")
    offset = number(call.headers, "upload-offset")
    if offset is None:
        raise Malformed("Upload-Offset is missing.", code="header_invalid")
    expect, size = checksum(call.headers, call.request.scope), number(call.headers, "upload-length")
    upload_id = (await _alive(call, principal)).id
    body = bounded(call, principal)
    progress = await call.context.resumable.append(principal, upload_id, body, offset=offset, expect=expect, size=size)
    headers = {**_state(progress.upload), "Upload-Offset": str(progress.upload.held_bytes)}
    return Response(status_code=204, headers=headers)


async def _terminate(call: Call, principal: Principal) -> Response:
    """Give an upload up, or delete the file that it became (T-X1, T-X2)."""
    upload = await call.context.resumable.cancel(principal, (await _alive(call, principal)).id)
    if upload.file_id is not None:
        await call.context.files.delete(principal, upload.file_id)
    return Response(status_code=204)


async def _alive(call: Call, principal: Principal) -> Upload:
    upload = await call.context.door.look(principal, call.params["upload_id"])
    return alive(upload, call.context.clock.now())


def _state(upload: Upload) -> dict[str, str]:
    """Tell until when an unfinished upload is kept (T-E1, T-E2)."""
    return {"Upload-Expires": http_date(upload.expires_at)} if upload.state is State.OPEN else {}


def _offset(upload: Upload) -> dict[str, str]:
    """Tell how much is held; of an upload made of others only once it is complete (T-N8)."""
    if upload.declared.parts and upload.state is not State.SEALED:
        return {}
    return {"Upload-Offset": str(upload.held_bytes)}
