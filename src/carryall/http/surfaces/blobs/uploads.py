"""Files on their way into a user's room: one in a form, or several, each for itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response

from carryall.http import openapi
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute
from carryall.http.errands import files_of, once
from carryall.http.forms import FilePart, parts
from carryall.http.problems import status_of
from carryall.http.protocols import resumable
from carryall.http.protocols.form import (
    OVERHEAD_BYTES,
    FormPlan,
    bytes_left,
    complete_form,
    is_form,
    landed_form,
    no_file,
    no_name,
    require_file,
)
from carryall.http.protocols.put import given_name, land_raw
from carryall.model.errors import CarryallError, Refused, TooLarge
from carryall.model.file import File
from carryall.model.principal import Principal, Scope
from carryall.model.upload import Declared, Mode, Upload
from carryall.operations.authenticate import Realm
from carryall.ports.cancellation import shielded

DOOR = "blobs"
_FIELD = "file"
_BATCH_FIELD = "files"
_MEBIBYTE = 1 << 20
# A refusal with one of these codes is about the request as a whole, not about the file that was being read.
_OF_THE_FORM = ("form_", "body_")

UPLOAD_DOCS: dict[str, Any] = {}  # POST /upload is described where relay describes its half of it


async def upload(call: Call) -> Response:
    """Take one file into the user's room; answer where it is."""
    return await once(call, await _writer(call), _make, _made)


async def _make(call: Call, principal: Principal) -> Response:
    """Take a form; or a raw body that has a name, which may be the beginning of an upload."""
    name = None if is_form(call) else given_name(call)
    if name is None:
        async with landed_form(call, principal, FormPlan(_FIELD, _declared)) as landed:
            require_file(landed, _FIELD)
            file = (await complete_form(call, principal, landed))[0]
        return await _told(call, principal, file)
    declared = Declared(name=name, door=DOOR)
    if resumable.begins(call):
        return await resumable.begin(call, principal, declared, ended=ended)
    return await _told(call, principal, await land_raw(call, principal, declared))


@resumable.or_began
async def _made(call: Call, principal: Principal, uploads: Sequence[Upload]) -> Response:
    """Answer for what an attempt before made."""
    (file,) = await files_of(call, principal, uploads)
    return await _told(call, principal, file)


async def ended(call: Call, principal: Principal, _upload: Upload, file: File) -> Response:
    """Answer the end of an upload that began here."""
    return await _told(call, principal, file)


async def _told(call: Call, principal: Principal, file: File) -> Response:
    space = await available_space(call.context, principal)
    return JSONResponse(stored(call.url("s", file.short_id), file, space))


async def _writer(call: Call) -> Principal:
    principal = await call.principal(Realm.BLOBS)
    principal.require(Scope.WRITE)
    return principal


def _declared(part: FilePart) -> Declared:
    if not part.filename:
        raise no_name()
    return Declared(name=part.filename, door=DOOR)


def stored(link: str, file: File, space: str) -> dict[str, Any]:
    """Tell of a file that was taken: where it is, and how much room is left."""
    return {
        "file_id": file.short_id,
        "file_url": link,
        "show_image": f"{link}?output=html",
        "available_space": space,
    }


def refused(error: CarryallError) -> dict[str, Any]:
    """Tell of a file that was not taken, where others beside it may be."""
    text = error.message
    return {"status_code": status_of(error), "error": text, "detail": text, "code": error.stable_code}


async def available_space(context: Context, principal: Principal) -> str:
    """Say how much room is left, counted in MiB as the described system counts its limits."""
    total = principal.plan.total_bytes
    if total is None:
        return "unlimited"
    usage = await context.accounts.usage(principal.id)
    left = max(0, total - usage.stored_bytes - usage.reserved_bytes)
    return f"{left / _MEBIBYTE:.3f} MB"


async def _upload_batch(call: Call) -> Response:
    """Take every file for itself: one that is refused doesn't touch the others.

    Nothing is a file before the form's end, so a form that breaks off leaves nothing and can be sent again.
    """
    return await once(call, await _writer(call), _make_batch, _made_batch)


async def _make_batch(call: Call, principal: Principal) -> Response:
    stream = parts(call.body, call.headers.get("content-type", ""), call.context.rules.form)
    _check_total(call, principal)
    call.context.targets.of(principal, call.target)
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
    return await _told_batch(call, principal, outcomes)


async def _made_batch(call: Call, principal: Principal, uploads: Sequence[Upload]) -> Response:
    """Answer for the files that an attempt before made; what it had refused isn't known any more."""
    files = await files_of(call, principal, uploads)
    return await _told_batch(call, principal, [(file.name, file) for file in files])


async def _told_batch(
    call: Call, principal: Principal, outcomes: Sequence[tuple[str, File | CarryallError]]
) -> Response:
    space = await available_space(call.context, principal)
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
        declared = _declared(part)
        declared = replace(
            declared, media_type=part.media_type, at_most=bytes_left(call), target=call.target, errand=call.errand
        )
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
        return stored(call.url("s", outcome.short_id), outcome, space)
    return refused(outcome)


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
            parameters=[openapi.IDEMPOTENCY_KEY],
            body=openapi.form_body(_BATCH_FIELD, is_many=True),
            answer={200: [_STORED_EXAMPLE], 207: [_STORED_EXAMPLE, _REFUSED_EXAMPLE]},
            refusals=(400, 401, 403, 408, 409, 413, 415, 422, 429, 503, 507),
        )
    },
)
