"""Files by names of the owner's own choice: `curl -T file …/v1/by-name/` and back."""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from starlette.responses import JSONResponse, Response

from carryall.http import openapi
from carryall.http.api.files import VIA
from carryall.http.api.patience import COMPLETING, Patience, still_completing
from carryall.http.api.room import DOOR, EXTERNAL_QUERY, external_id_of
from carryall.http.api.shapes import FILE, file_shape
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute
from carryall.http.download import Delivery, deliver
from carryall.http.errands import files_of, once
from carryall.http.headers import joined, precondition
from carryall.http.protocols import resumable
from carryall.http.protocols.put import landed_raw
from carryall.model.errors import Malformed, Missing, PreconditionFailed
from carryall.model.file import File
from carryall.model.principal import Principal, Scope
from carryall.model.upload import Declared, Upload
from carryall.operations.authenticate import Realm

_TAG = "v1 files"
_PREFIX = "/v1/by-name/"
_MAX_CHARACTERS = 1024


def byte_routes(_context: Context) -> list[ByteRoute]:
    """Give the routes under /v1/by-name/."""
    patience = Patience()

    async def make(call: Call, principal: Principal) -> Response:
        return await _put(call, principal, patience)

    async def put(call: Call) -> Response:
        principal = await call.principal(Realm.NATIVE)
        principal.require(Scope.WRITE)
        return await once(call, principal, make, _made)

    path = _PREFIX + "{path:path}"
    return [
        ByteRoute(("PUT",), path, resumable.target(put), docs={"put": _PUT_DOCS}),
        ByteRoute(("OPTIONS",), path, resumable.limits),
        ByteRoute(("GET", "HEAD"), path, _read, docs=_READ_DOCS),
        ByteRoute(("DELETE",), path, _delete, docs={"delete": _DELETE_DOCS}),
    ]


async def _put(call: Call, principal: Principal, patience: Patience) -> Response:
    """Keep the body under a name; the file that had it goes when the new one is stored."""
    path = _path_of(call)
    external_id = external_id_of(call, principal)
    current = await call.context.serve.at_path(principal, path)
    _check_conditions(call, current)
    declared = Declared(
        name=path.rpartition("/")[2],
        door=DOOR,
        path=path,
        external_id=external_id,
        must_be_new=(joined(call.headers, "if-none-match") or "").strip() == "*",
        must_replace=current.id if current is not None and _names_a_tag(call) else None,
        is_replacement=current is not None,
    )
    if resumable.begins(call):
        return await resumable.begin(call, principal, replace(declared, door=resumable.DOOR))
    async with landed_raw(call, principal, declared) as upload:
        files = await patience.completed(call, principal, [upload.id])
    if files is None:
        return still_completing(call, upload.id)
    return _kept(call, files[0], is_new=current is None)


@resumable.or_began
async def _made(call: Call, principal: Principal, uploads: Sequence[Upload]) -> Response:
    """Answer for what an attempt before made."""
    (file,) = await files_of(call, principal, uploads)
    return _kept(call, file, is_new=not uploads[0].declared.is_replacement)


def _kept(call: Call, file: File, *, is_new: bool) -> Response:
    headers = {"Location": call.url("v1", "by-name", *_path_of(call).split("/")), "ETag": file.etag}
    return JSONResponse(file_shape(call, file).model_dump(mode="json"), 201 if is_new else 200, headers)


async def _read(call: Call) -> Response:
    principal = await call.principal(Realm.NATIVE)
    return await deliver(call, await call.context.serve.by_path(principal, _path_of(call)), Delivery(via=VIA))


async def _delete(call: Call) -> Response:
    principal = await call.principal(Realm.NATIVE)
    principal.require(Scope.DELETE)
    path = _path_of(call)
    current = await call.context.serve.at_path(principal, path)
    if current is None:
        raise Missing("File not found", code="file_not_found")
    _check_conditions(call, current)
    if _names_a_tag(call):
        await call.context.files.delete(principal, current.id)  # this one, and not one that replaced it just now
    else:
        await call.context.files.delete_by_path(principal, path)
    return Response(status_code=204)


def _path_of(call: Call) -> str:
    """Give the name: everything behind the prefix, percent-decoded once. It is data and leads nowhere.

    Raises:
        Malformed: `path_invalid`: empty, too long, ending in a slash, with a NUL, or not UTF-8.
    """
    path: str = call.params["path"]
    if not path or path.endswith("/"):
        raise Malformed(
            "The URL has to end with the file's name; `curl -T FILE` adds it to a URL that ends with a slash.",
            code="path_invalid",
        )
    if len(path) > _MAX_CHARACTERS or "\0" in path:
        raise Malformed(f"A name has at most {_MAX_CHARACTERS} characters and no NUL.", code="path_invalid")
    if "�" in path and not _is_utf8(call.request.scope.get("raw_path", b"")):
        raise Malformed("A name is percent-encoded UTF-8.", code="path_invalid")
    return path


def _is_utf8(raw_path: bytes) -> bool:
    """Tell whether the server's decoding lost nothing: what it can't decode becomes U+FFFD, for two names alike."""
    try:
        unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError:
        return False
    return True


def _names_a_tag(call: Call) -> bool:
    return (joined(call.headers, "if-match") or "*").strip() != "*"


def _check_conditions(call: Call, current: File | None) -> None:
    """Raise PreconditionFailed where If-Match and its kin don't hold, before the body is asked for (RFC 9110 §13)."""
    etag, changed = (current.etag, current.created_at) if current else (None, None)
    if precondition(call.headers, etag, last_modified=changed, method=call.method) is not None:
        state = "is there already" if current else "isn't there"
        raise PreconditionFailed(f"A condition of the request doesn't hold: the file {state}.")


_PATH = openapi.path("path", "The name, with as many slashes as you like.")
_PUT_DOCS = openapi.operation(
    "Store a file by its name",
    tag=_TAG,
    security="any",
    description=(
        "Names are unique per owner here, and a PUT replaces the file that has the name when the new one is stored. "
        "`If-None-Match: *` refuses to replace; `If-Match` replaces only the file with that ETag."
    ),
    parameters=[_PATH, openapi.IDEMPOTENCY_KEY, EXTERNAL_QUERY],
    body=openapi.raw_body(),
    answer={200: FILE, 201: FILE, 202: COMPLETING},
    refusals=(400, 401, 403, 408, 409, 412, 413, 415, 422, 429, 502, 503, 507),
)
_DELETE_DOCS = openapi.operation(
    "Delete a file by its name",
    tag=_TAG,
    security="any",
    parameters=[_PATH],
    answer={204: None},
    refusals=(400, 401, 403, 404, 412, 429),
)
_READ_DOCS = openapi.download(
    "a file by its name", tag=_TAG, security="any", parameters=[_PATH], refusals=(401, 403, 429)
)
