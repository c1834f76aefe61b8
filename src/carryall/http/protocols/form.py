"""A multipart form as uploads: every file part lands as it arrives, and nothing is a file before the form's end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from carryall.http.call import Call
from carryall.http.forms import Field, FilePart, parts
from carryall.model.errors import Malformed, TooLarge
from carryall.model.file import File
from carryall.model.principal import Principal
from carryall.model.upload import Declared, Mode, Upload
from carryall.ports.cancellation import shielded

# What a form may hold beside its files' bytes, when its Content-Length is judged before the first byte: boundaries,
# part headers and fields. Far above what any client sends; the exact limit is kept while the bytes come in.
OVERHEAD_BYTES = 256 << 10
_PART_OVERHEAD_BYTES = 1 << 10  # the same, for each further file
# The network chunk in which a part begins was counted as received before the part was seen.
_CHUNK_SLACK = 1 << 20


@dataclass(slots=True)
class Landed:
    """What a form brought: its fields, and its files as uploads that are still to be completed.

    Attributes:
        has_empty_choice: a part for files was there in which nothing had been chosen.
    """

    fields: dict[str, str] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)
    has_empty_choice: bool = False


Declare = Callable[[FilePart], Declared]


@dataclass(frozen=True, slots=True)
class FormPlan:
    """What a surface takes from a form.

    Attributes:
        file_field: the name of the parts that are files; files in other parts are skipped.
        declare: says of a file part what it will be; may refuse it.
        max_files: file parts at most.
    """

    file_field: str
    declare: Declare
    max_files: int = 1


@asynccontextmanager
async def landed_form(call: Call, principal: Principal, plan: FormPlan) -> AsyncIterator[Landed]:
    """Land a form's files; leaving the block by an error gives every upload up.

    Authenticate first: this begins to read. The form was whole and well-formed when the block is entered.
    """
    body = call.body
    stream = parts(body, call.headers.get("content-type", ""), call.context.rules.form)
    overhead = OVERHEAD_BYTES + (plan.max_files - 1) * _PART_OVERHEAD_BYTES
    await call.context.admission.body(principal, size=body.declared_size, overhead=overhead, max_files=plan.max_files)
    landed = Landed()
    try:
        async for part in stream:
            if isinstance(part, Field):
                landed.fields[part.name] = part.value
            elif part.name == plan.file_field and part.filename == "":
                await _check_empty(part)
                landed.has_empty_choice = True
            elif part.name == plan.file_field:
                await _land(call, principal, plan, landed, part)
        yield landed
    except BaseException as reason:
        for upload in landed.uploads:
            await shielded(call.context.door.abort(principal, upload.id, reason=reason))
        raise


async def _check_empty(part: FilePart) -> None:
    """Take a part without a name for what browsers send where nothing was chosen, unless it brings bytes."""
    async for _ in part.body:
        raise no_name()


async def _land(call: Call, principal: Principal, plan: FormPlan, landed: Landed, part: FilePart) -> None:
    if len(landed.uploads) >= plan.max_files:
        raise TooLarge(
            f"At most {plan.max_files} files are taken in one request.",
            code="form_too_many_parts",
            limit=plan.max_files,
        )
    declared = plan.declare(part)
    declared = replace(
        declared,
        at_most=bytes_left(call),
        media_type=part.media_type,
        target=declared.target or call.target,
        errand=call.errand,
    )
    upload = await call.context.door.open(principal, declared)
    landed.uploads.append(upload)
    await call.context.door.receive(principal, upload.id, part.body, mode=Mode.REPLACE)


def bytes_left(call: Call) -> int | None:
    """Give what the part that begins now may bring at most, in bytes; None where the request doesn't say its size."""
    total = call.body.declared_size
    return None if total is None else min(total, total - call.body.received + _CHUNK_SLACK)


async def complete_form(call: Call, principal: Principal, landed: Landed) -> list[File]:
    """Make files of all that landed, all or none."""
    return await call.context.door.complete_all(principal, [upload.id for upload in landed.uploads])


def is_form(call: Call) -> bool:
    """Tell whether the request's body is a form."""
    return call.headers.get("content-type", "").strip().lower().startswith("multipart/form-data")


def require_file(landed: Landed, name: str) -> Upload:
    """Give the form's one file. Raises Malformed (422) when there is none."""
    if not landed.uploads:
        raise no_file(name)
    return landed.uploads[0]


def no_file(name: str) -> Malformed:
    """Say that the part with the file isn't there (422)."""
    return Malformed(
        f"There is no file: send a form with a file in a part named {name}.",
        code="file_missing",
        errors=[{"field": f"body.{name}", "message": "Field required", "type": "missing"}],
    )


def no_name() -> Malformed:
    """Say that a file has no name (400)."""
    return Malformed("No filename provided", code="filename_missing")
