"""A raw body as one file: PUT, or POST without a form."""

from dataclasses import replace

from carryall.http.call import Call
from carryall.http.digests import expected_digests
from carryall.http.headers import clean_media_type, parse_disposition
from carryall.model.errors import Malformed
from carryall.model.file import File
from carryall.model.principal import Principal
from carryall.model.upload import Declared

_FALLBACK_NAME = "file"


async def land_raw(call: Call, principal: Principal, declared: Declared, *, store: str | None = None) -> File:
    """Take the request's body as one file, or leave nothing.

    The declared size, type and digests come from the headers: Content-Length, Content-Type, Content-Digest and
    Repr-Digest. Raises what `Door.accept` raises, and Malformed for a Content-Range (RFC 9110 §14.5).
    """
    if "content-range" in call.headers:
        raise Malformed(
            "A part of a file can't be put. Send the whole file, or use an upload that can be resumed.",
            code="content_range_refused",
        )
    body = call.body
    await call.context.admission.body(principal, size=body.declared_size)
    digests = expected_digests(call.headers)
    complete = replace(
        declared,
        size=body.declared_size,
        media_type=clean_media_type(call.headers.get("content-type")),
        digests=digests.representation,
        sha256=digests.representation.get("sha-256"),
    )
    return await call.context.door.accept(principal, complete, body, store=store, expect=digests.content)


def name_of(call: Call) -> str:
    """Give a raw upload's name; "file" where the request gives none."""
    return given_name(call) or _FALLBACK_NAME


def given_name(call: Call) -> str | None:
    """Give the name that a raw upload brings: `?fileName=` or `?filename=`, else Content-Disposition's."""
    asked = call.query("fileName") or call.query("filename")
    if asked:
        return asked
    disposition = parse_disposition(call.headers.get("content-disposition", ""))
    return (disposition[1].get("filename") or None) if disposition else None
