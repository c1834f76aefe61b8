"""A raw body as one file: PUT, or POST without a form."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from carryall.http.call import Call
from carryall.http.digests import expected_digests
from carryall.http.headers import clean_media_type, parse_disposition
from carryall.http.trailers import content_digests
from carryall.model.errors import Malformed
from carryall.model.file import File
from carryall.model.principal import Principal
from carryall.model.upload import Declared, Mode, Upload
from carryall.ports.cancellation import shielded

_FALLBACK_NAME = "file"


async def land_raw(call: Call, principal: Principal, declared: Declared) -> File:
    """Take the request's body as one file, or leave nothing.

    The declared size, type and digests come from the headers: Content-Length, Content-Type, Content-Digest and
    Repr-Digest. Raises what `Door.accept` raises, and Malformed for a Content-Range (RFC 9110 §14.5).
    """
    declared, expect = await _admitted(call, principal, declared)
    return await call.context.door.accept(principal, declared, call.body, expect=expect)


@asynccontextmanager
async def landed_raw(call: Call, principal: Principal, declared: Declared) -> AsyncIterator[Upload]:
    """Land the body as `land_raw` does, to be completed in the block; leaving that by an error gives the upload up."""
    declared, expect = await _admitted(call, principal, declared)
    door = call.context.door
    upload = await door.open(principal, declared)
    try:
        await door.receive(principal, upload.id, call.body, mode=Mode.REPLACE, expect=expect)
        yield upload
    except BaseException as reason:
        await shielded(door.abort(principal, upload.id, reason=reason))
        raise


async def _admitted(call: Call, principal: Principal, declared: Declared) -> tuple[Declared, Mapping[str, str]]:
    """Say what the headers tell of the file, and which digests the body has to have; refuse what can't be taken."""
    if "content-range" in call.headers:
        raise Malformed(
            "A part of a file can't be put. Send the whole file, or use an upload that can be resumed.",
            code="content_range_refused",
        )
    size = call.body.declared_size
    await call.context.admission.body(principal, size=size)
    digests = expected_digests(call.headers)
    told = replace(
        declared,
        size=size,
        media_type=clean_media_type(call.headers.get("content-type")),
        digests=digests.representation,
        target=declared.target or call.target,
        errand=call.errand,
    )
    return told, content_digests(call.headers, call.request.scope)


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
