"""Files on their way into a user's room: one in a form, or several, each for itself."""

from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response

from carryall.http import openapi
from carryall.http.call import Call
from carryall.http.dispatch import ByteRoute
from carryall.http.forms import FilePart, parts
from carryall.http.problems import status_of
from carryall.http.protocols.form import (
    OVERHEAD_BYTES,
    FormPlan,
    bytes_left,
    complete_form,
    landed_form,
    no_file,
    no_name,
    require_file,
)
from carryall.model.errors import CarryallError, Refused, TooLarge
from carryall.model.file import File
from carryall.model.principal import Principal, Scope
from carryall.model.upload import Declared, Mode, Upload
from carryall.operations.authenticate import Realm
from carryall.operations.streams import shielded

DOOR = "blobs"
_FIELD = "file"
_BATCH_FIELD = "files"
_MEBIBYTE = 1 << 20
# A refusal with one of these codes is about the request as a whole, not about the file that was being read.
_OF_THE_FORM = ("form_", "body_")

UPLOAD_DOCS: dict[str, Any] = {}  # POST /upload is described where relay describes its half of it


async def upload(call: Call) -> Response:
    """Take one file into the user's room; answer where it is."""
    principal = await _writer(call)
    async with landed_form(call, principal, FormPlan(_FIELD, _declared)) as landed:
        require_file(landed, _FIELD)
        file = (await complete_form(call, principal, landed))[0]
    return JSONResponse(_stored(call, file, await _available_space(call, principal)))


async def _writer(call: Call) -> Principal:
    principal = await call.principal(Realm.BLOBS)
    principal.require(Scope.WRITE)
    return principal


def _declared(part: FilePart) -> Declared:
    if not part.filename:
        raise no_name()
    return Declared(name=part.filename, door=DOOR)


def _stored(call: Call, file: File, available_space: str) -> dict[str, Any]:
    link = call.url("s", file.short_id)
    return {
        "file_id": file.short_id,
        "file_url": link,
        "show_image": f"{link}?output=html",
        "available_space": available_space,
    }


async def _available_space(call: Call, principal: Principal) -> str:
    """Say how much room is left, counted in MiB as the described system counts its limits."""
    total = principal.plan.total_bytes
    if total is None:
        return "unlimited"
    usage = await call.context.accounts.usage(principal.id)
    left = max(0, total - usage.stored_bytes - usage.reserved_bytes)
    return f"{left / _MEBIBYTE:.3f} MB"


async def _upload_batch(call: Call) -> Response:
    """Take every file for itself: one that is refused doesn't touch the others.

    Nothing is a file before the form's end, so a form that breaks off leaves nothing and can be sent again.
    """
    principal = await _writer(call)
    stream = parts(call.body, call.headers.get("content-type", ""), call.context.rules.form)
    _check_total(call, principal)
    landed: list[tuple[str, Upload | Refused]] = []
    try:
        async for part in stream:
            if isinstance(part, FilePart) and part.name == _BATCH_FIELD:
                # Not a comprehension: what landed before a failure has to be known, to be given up.
                landed.append((part.filename, await _landed(call, principal, part)))  # noqa: PERF401
        if not landed:
            raise no_file(_BATCH_FIELD)
        outcomes = [(name, await _completed(call, principal, one)) for name, one in landed]
    except BaseException as reason:
        for _, one in landed:
            if isinstance(one, Upload):
                await shielded(call.context.door.abort(principal, one.id, reason=reason))
        raise
    space = await _available_space(call, principal)
    results = [{"filename": name, **_result(call, outcome, space)} for name, outcome in outcomes]
    has_refusals = any(isinstance(outcome, CarryallError) for _, outcome in outcomes)
    return JSONResponse(results, 207 if has_refusals else 200)


def _check_total(call: Call, principal: Principal) -> None:
    """Refuse a form that can't fit even an empty room, before its first byte. Less may fit in part, and is tried."""
    size, total = call.body.declared_size, principal.plan.total_bytes
    if size is not None and total is not None and size - OVERHEAD_BYTES > total:
        raise TooLarge(f"This form has {size} bytes; your plan has room for {total}.", limit=total, size=size)


async def _landed(call: Call, principal: Principal, part: FilePart) -> Upload | Refused:
    """Land one file, or give the reason why it isn't taken. What ends the whole form is raised."""
    door = call.context.door
    try:
        declared = replace(_declared(part), media_type=part.media_type, at_most=bytes_left(call))
        upload = await door.open(principal, declared)
    except Refused as refusal:
        return refusal
    try:
        return await door.receive(principal, upload.id, part.body, mode=Mode.REPLACE)
    except BaseException as reason:
        await shielded(door.abort(principal, upload.id, reason=reason))
        if isinstance(reason, Refused) and not reason.stable_code.startswith(_OF_THE_FORM):
            return reason
        raise


async def _completed(call: Call, principal: Principal, landed: Upload | Refused) -> File | CarryallError:
    if isinstance(landed, Refused):
        return landed
    try:
        return await call.context.door.complete(principal, landed.id)
    except CarryallError as error:
        await shielded(call.context.door.abort(principal, landed.id, reason=error))
        return error


def _result(call: Call, outcome: File | CarryallError, space: str) -> dict[str, Any]:
    if isinstance(outcome, File):
        return _stored(call, outcome, space)
    text = outcome.message
    return {"status_code": status_of(outcome), "error": text, "detail": text, "code": outcome.stable_code}


_STORED_EXAMPLE = {
    "filename": "holiday.jpg",
    "file_id": "Xy7abc23",
    "file_url": "http://127.0.0.1:8000/s/Xy7abc23",
    "show_image": "http://127.0.0.1:8000/s/Xy7abc23?output=html",
    "available_space": "490.500 MB",
}
_REFUSED_EXAMPLE = {
    "filename": "film.mp4",
    "status_code": 413,
    "error": "The file is too large.",
    "detail": "The file is too large.",
    "code": "too_large",
}
UPLOAD_BATCH = ByteRoute(
    methods=("POST",),
    path="/upload_batch",
    handler=_upload_batch,
    docs={
        "post": openapi.operation(
            "Upload several files each for itself",
            tag="blobs",
            security="user",
            description=(
                "A form with the part `files`, repeated. The answer has one result for each file, in their order; "
                "its status is 207 when some file was refused, and the others are kept."
            ),
            body=openapi.form_body(_BATCH_FIELD, is_many=True),
            answer={200: [_STORED_EXAMPLE], 207: [_STORED_EXAMPLE, _REFUSED_EXAMPLE]},
            refusals=(400, 401, 403, 408, 413, 415, 422, 429, 503, 507),
        )
    },
)
