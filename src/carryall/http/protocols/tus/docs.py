"""What OpenAPI says of the tus routes."""

from typing import Any

from carryall.http import openapi

_TAG = "v1 uploads"
_ABOUT = (
    "tus 1.0.0: any tus client may use /v1/uploads, /files or /upload_tus as its endpoint. Every request carries "
    "`Tus-Resumable: 1.0.0`."
)


def _header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    shape = schema or {"type": "string"}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": shape}


def _operation(summary: str, **told: Any) -> dict[str, Any]:
    """Describe an operation of two protocols: the IETF draft writes the same refusals as problems (RFC 9457)."""
    operation = openapi.operation(summary, **told)
    for status, answer in operation["responses"].items():
        if status >= "400":
            answer["content"]["application/problem+json"] = answer["content"]["application/json"]
    return operation


_VERSION = {
    "name": "Tus-Resumable",
    "in": "header",
    "required": True,
    "description": "The protocol's version.",
    "schema": {"type": "string", "enum": ["1.0.0"]},
}
_UPLOAD = openapi.path("upload_id", "The upload's id: the end of its Location.")
_BYTES = {"application/offset+octet-stream": {"schema": openapi.BINARY}}

COLLECTION_DOCS = {
    "post": _operation(
        "Begin a resumable upload",
        tag=_TAG,
        security="any",
        description=_ABOUT,
        parameters=[
            _VERSION,
            _header("Upload-Length", "The size in bytes, if it is known.", type="string", pattern="^[0-9]+$"),
            _header("Upload-Defer-Length", "`1`: the size comes later."),
            _header("Upload-Metadata", "`filename` and `filetype` in base64, and others."),
            _header("Upload-Concat", "`partial`, or `final;` with the parts' URLs."),
            _header("Upload-Checksum", "An algorithm and the base64 of this body's digest."),
        ],
        answer={201: None},
        refusals=(400, 401, 403, 408, 409, 412, 413, 415, 429, 503, 507),
    ),
    "options": _operation(
        "Tell what of tus is spoken", tag=_TAG, security="none", answer={204: None}, description=_ABOUT
    ),
}
ITEM_DOCS = {
    "head": _operation(
        "Tell a resumable upload's offset",
        tag=_TAG,
        security="any",
        parameters=[_VERSION, _UPLOAD],
        answer={200: None},
        refusals=(400, 401, 403, 404, 409, 410, 412, 429, 503),
    ),
    "patch": _operation(
        "Continue a resumable upload",
        tag=_TAG,
        security="any",
        parameters=[
            _VERSION,
            _UPLOAD,
            _header("Upload-Offset", "Where these bytes begin.", type="string", pattern="^[0-9]+$"),
            _header("Upload-Length", "The size, if it wasn't told before.", type="string", pattern="^[0-9]+$"),
            _header("Upload-Checksum", "An algorithm and the base64 of this body's digest."),
        ],
        body=_BYTES,
        answer={204: None},
        refusals=(400, 401, 403, 404, 408, 409, 410, 412, 413, 415, 429, 503, 507),
    ),
    "delete": _operation(
        "Give a resumable upload up",
        tag=_TAG,
        security="any",
        parameters=[_VERSION, _UPLOAD],
        answer={204: None},
        refusals=(400, 401, 403, 404, 409, 410, 412, 429, 503),
    ),
}
