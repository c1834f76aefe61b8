"""What OpenAPI says of uploads at their own addresses, where tus and the IETF draft are spoken side by side."""

from collections.abc import Iterable
from typing import Any

from carryall.http import openapi
from carryall.http.api.shapes import FILE, UPLOAD

_TAG = "v1 uploads"
_ABOUT = (
    "tus 1.0.0: any tus client may use /v1/uploads, /files or /upload_tus as its endpoint, and says "
    "`Tus-Resumable: 1.0.0` with every request. Without that, and with a field of the IETF draft on resumable uploads "
    "(`Upload-Complete`, `Upload-Draft-Interop-Version`), a request speaks the draft, versions 3 to 10. An upload that "
    "one of them began the other may continue. docs/resumable.md and docs/resumable-http.md tell more."
)
_NUMBER = {"type": "string", "pattern": "^[0-9]+$"}
_FLAG = {"type": "string", "enum": ["?0", "?1"]}


def _header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    shape = schema or {"type": "string"}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": shape}


def _told(*names: str) -> dict[str, Any]:
    return {name: {"description": _FIELDS[name], "schema": {"type": "string"}} for name in names}


_FIELDS = {
    "Location": "The upload's address; at the end of one by the draft, the file's.",
    "Upload-Offset": "How many bytes are kept. They survive a crash.",
    "Upload-Length": "The whole upload's bytes, if that is known.",
    "Upload-Expires": "tus: when the upload is given up if nothing comes.",
    "Upload-Complete": "The draft: `?1` when the answer is the target's, and nothing more is to be sent.",
    "Upload-Limit": "`max-size` and `max-append-size` in bytes, `max-age` in seconds.",
    "Tus-Max-Size": "tus: the largest upload of anybody, where everybody has a limit.",
    "Tus-Extension": "tus: what is spoken beside its core.",
    "Accept-Patch": "The draft: the type of an append.",
}
_VERSIONS = (
    _header("Tus-Resumable", "tus: the protocol's version.", type="string", enum=["1.0.0"]),
    _header("Upload-Draft-Interop-Version", "The draft: its version; answers repeat it.", **_NUMBER),
)
_UPLOAD = openapi.path("upload_id", "The upload's id: the end of its Location.")
_COMPLETE = _header("Upload-Complete", "The draft: `?1` when nothing comes after this body.", **_FLAG)
_LENGTH = _header("Upload-Length", "The whole upload's bytes, as soon as they are known.", **_NUMBER)
_CHECKSUM = _header("Upload-Checksum", "tus: an algorithm and the base64 of this body's digest.")
_DIGESTS = (
    _header("Content-Digest", "The draft: the digest of this body (RFC 9530)."),
    _header("Repr-Digest", "The draft: the digest of the whole file, on whichever request."),
)
_TUS_BYTES = {"application/offset+octet-stream": {"schema": openapi.BINARY}}
_DRAFT_BYTES = {"application/partial-upload": {"schema": openapi.BINARY}}


def _operation(summary: str, headers: Iterable[str] = (), **told: Any) -> dict[str, Any]:
    """Describe an operation; the draft writes the same refusals as problems (RFC 9457)."""
    operation = openapi.operation(summary, tag=_TAG, **told)
    for status, answer in operation["responses"].items():
        if status >= "400":
            answer["content"]["application/problem+json"] = answer["content"]["application/json"]
        else:
            answer["headers"] = _told(*headers)
    return operation


def _shown() -> dict[str, Any]:
    operation = openapi.download("an upload", tag=_TAG, security="any", parameters=[_UPLOAD, _OUTPUT], refusals=_READS)
    found: dict[str, Any] = operation["get"]
    found["description"] = (
        "The file, once the upload is complete. Before that, and with `Accept: application/json` or `?output=json` "
        "always, how far the upload is."
    )
    found["responses"]["200"]["content"]["application/json"] = {"schema": {"type": "object"}, "example": UPLOAD}
    return found


_READS = (400, 401, 403, 410, 429)
_OUTPUT = openapi.query("output", "`json`: tell of the upload, and don't give its file.")

COLLECTION_DOCS = {
    "post": _operation(
        "Begin a resumable upload",
        ("Location", "Upload-Offset", "Upload-Expires", "Upload-Complete", "Upload-Limit"),
        security="any",
        description=(
            f"{_ABOUT} By the draft, `Upload-Complete: ?0` begins an upload with this body as its first bytes, and "
            "`?1` brings a whole file, which is answered like POST /v1/files."
        ),
        parameters=[
            *_VERSIONS,
            openapi.IDEMPOTENCY_KEY,
            _LENGTH,
            _header("Upload-Defer-Length", "tus, `1`: the size comes later."),
            _header("Upload-Metadata", "tus: `filename` and `filetype` in base64, and others."),
            _header("Upload-Concat", "tus: `partial`, or `final;` with the parts' URLs."),
            _CHECKSUM,
            _COMPLETE,
            _header("Content-Disposition", "The draft: the file's name."),
            *_DIGESTS,
        ],
        answer={201: None, 202: None},
        refusals=(400, 401, 403, 406, 408, 409, 410, 412, 413, 415, 422, 429, 502, 503, 507),
    ),
    "options": _operation(
        "Tell what is spoken, and the limits",
        ("Upload-Limit", "Tus-Max-Size", "Tus-Extension", "Accept-Patch"),
        security="none",
        answer={204: None},
        description=_ABOUT,
    ),
}
ITEM_DOCS = {
    "get": _shown(),
    "head": _operation(
        "Tell a resumable upload's offset",
        ("Upload-Offset", "Upload-Length", "Upload-Expires", "Upload-Complete", "Upload-Limit"),
        security="any",
        description="Whoever still writes to the upload is sent away. 200 by tus, 204 by the draft.",
        parameters=[*_VERSIONS, _UPLOAD],
        answer={200: None, 204: None},
        refusals=(400, 401, 403, 404, 409, 410, 412, 429, 503),
    ),
    "patch": _operation(
        "Continue a resumable upload",
        ("Location", "Upload-Offset", "Upload-Expires", "Upload-Complete", "Upload-Limit"),
        security="any",
        description=(
            "204 while more is to come. By the draft the last bytes are answered as the target would have answered the "
            "whole file, also when they come again."
        ),
        parameters=[
            *_VERSIONS,
            _UPLOAD,
            _header("Upload-Offset", "Where these bytes begin.", **_NUMBER),
            _LENGTH,
            _CHECKSUM,
            _COMPLETE,
            *_DIGESTS,
        ],
        body={**_TUS_BYTES, **_DRAFT_BYTES},
        answer={200: FILE, 201: FILE, 204: None},
        refusals=(400, 401, 403, 404, 408, 409, 410, 412, 413, 415, 429, 502, 503, 507),
    ),
    "delete": _operation(
        "Give a resumable upload up",
        security="any",
        description="By tus the file of a complete upload goes, too; by the draft it stays.",
        parameters=[*_VERSIONS, _UPLOAD],
        answer={204: None},
        refusals=(400, 401, 403, 404, 409, 410, 412, 429, 503),
    ),
    "options": _operation(
        "Tell what an upload's address speaks",
        ("Upload-Limit", "Tus-Max-Size", "Tus-Extension", "Accept-Patch"),
        security="none",
        parameters=[_UPLOAD],
        answer={204: None},
    ),
}
