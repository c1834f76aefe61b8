"""Files: created by form or raw body, listed, described, changed, deleted, read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from carryall.http import openapi
from carryall.http.api.moments import Moment
from carryall.http.api.paging import Listing, next_cursor
from carryall.http.api.patience import COMPLETING, Patience, still_completing
from carryall.http.api.room import DOOR, EXTERNAL_QUERY, documented, external_id_of, native
from carryall.http.api.shapes import FILE, FileShape, file_shape
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute, Handler
from carryall.http.download import Delivery, deliver
from carryall.http.errands import files_of, once
from carryall.http.forms import FilePart
from carryall.http.guarded import Caller
from carryall.http.protocols import resumable
from carryall.http.protocols.form import FormPlan, is_form, landed_form, require_file
from carryall.http.protocols.put import landed_raw, name_of
from carryall.model.file import File
from carryall.model.principal import Principal, Scope
from carryall.model.upload import Declared, Upload
from carryall.operations.admit import check_file_claim
from carryall.operations.authenticate import Realm

_FIELD = "file"
_TAG = "v1 files"
VIA = "api"
FileId = Annotated[str, Path(max_length=100)]


class Files(BaseModel):
    """A page of files. `next_cursor` is null on the last one."""

    model_config = ConfigDict(json_schema_extra={"example": {"files": [FILE], "next_cursor": None}})

    files: list[FileShape]
    next_cursor: str | None


class FileChanges(BaseModel):
    """What to change of a file; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "beach.jpg", "expires_at": None}})

    name: str = Field("", min_length=1, max_length=4096)
    expires_at: Moment | None = Field(None, description="When the file goes; null: as your plan has it.")


def router(context: Context) -> APIRouter:
    """Give the JSON routes of files."""
    routes = native(context, _TAG)

    @routes.get("/files", summary="List files", **documented(422))
    async def listed(request: Request, caller: Caller, listing: Annotated[Listing, Query()]) -> Files:
        if listing.main_service_file_id is not None:
            check_file_claim(caller, listing.main_service_file_id)
        query = listing.query(context.secrets)
        found = await context.serve.find(caller, query)
        call = Call(request, context)
        return Files(
            files=[file_shape(call, file) for file in found[: listing.limit]],
            next_cursor=next_cursor(context.secrets, query, found),
        )

    @routes.get("/files/{file_id}", summary="Describe a file", **documented(404, 422))
    async def described(request: Request, caller: Caller, file_id: FileId) -> FileShape:
        return file_shape(Call(request, context), await context.serve.by_id(caller, file_id))

    @routes.patch("/files/{file_id}", summary="Rename a file or set its expiry", **documented(404, 422))
    async def change(request: Request, caller: Caller, file_id: FileId, changes: FileChanges) -> FileShape:
        caller.require(Scope.WRITE)
        file = await context.serve.by_id(caller, file_id)
        if "expires_at" in changes.model_fields_set:
            file = await context.files.set_expiry(caller, file_id, changes.expires_at)
        if "name" in changes.model_fields_set:
            file = await context.files.rename(caller, file_id, changes.name)
        return file_shape(Call(request, context), file)

    @routes.delete("/files/{file_id}", status_code=204, summary="Delete a file", **documented(404, 422))
    async def delete(caller: Caller, file_id: FileId) -> None:
        await context.files.delete(caller, file_id)

    return routes


def byte_routes(_context: Context) -> list[ByteRoute]:
    """Give the routes that carry files' bytes."""
    return [
        ByteRoute(("POST",), "/v1/files", creator(), docs={"post": _CREATE_DOCS}),
        ByteRoute(("OPTIONS",), "/v1/files", resumable.limits),
        ByteRoute(("GET", "HEAD"), "/v1/files/{file_id}/content", _content, docs=_CONTENT_DOCS),
    ]


def creator() -> Handler:
    """Give what makes files of a request's body, or begins an upload of one."""
    patience = Patience()

    async def make(call: Call, principal: Principal) -> Response:
        external_id = external_id_of(call, principal)
        if is_form(call):
            return await _from_form(call, principal, external_id, patience)
        return await _from_raw(call, principal, external_id, patience)

    async def create(call: Call) -> Response:
        principal = await call.principal(Realm.NATIVE)
        principal.require(Scope.WRITE)
        return await once(call, principal, make, _made)

    return resumable.target(create)


async def _from_form(call: Call, principal: Principal, external_id: str | None, patience: Patience) -> Response:
    def declare(part: FilePart) -> Declared:
        return Declared(name=part.filename, door=DOOR, external_id=external_id)

    # One id of another service's is one file: a second one would take the first one's place.
    is_single = external_id is not None or principal.external_file_id is not None
    plan = FormPlan(_FIELD, declare, max_files=1 if is_single else call.context.rules.form.max_files)
    async with landed_form(call, principal, plan) as landed:
        require_file(landed, _FIELD)
        files = await patience.completed(call, principal, [upload.id for upload in landed.uploads])
    if files is None:
        return still_completing(call, landed.uploads[0].id)
    return _created(call, files)


async def _from_raw(call: Call, principal: Principal, external_id: str | None, patience: Patience) -> Response:
    declared = Declared(name=call.query("name") or name_of(call), door=DOOR, external_id=external_id)
    if resumable.begins(call):
        return await resumable.begin(call, principal, replace(declared, door=resumable.DOOR))
    async with landed_raw(call, principal, declared) as upload:
        files = await patience.completed(call, principal, [upload.id])
    if files is None:
        return still_completing(call, upload.id)
    return _created(call, files)


@resumable.or_began
async def _made(call: Call, principal: Principal, uploads: Sequence[Upload]) -> Response:
    """Answer for what an attempt before made."""
    return _created(call, await files_of(call, principal, uploads))


def _created(call: Call, files: Sequence[File]) -> Response:
    shapes = [file_shape(call, file).model_dump(mode="json") for file in files]
    if is_form(call):
        return JSONResponse({"files": shapes}, 201)
    headers = {"Location": call.url("v1", "files", files[0].id), "ETag": files[0].etag}
    return JSONResponse(shapes[0], 201, headers)


async def _content(call: Call) -> Response:
    principal = await call.principal(Realm.NATIVE)
    file = await call.context.serve.by_id(principal, call.params["file_id"])
    return await deliver(call, file, Delivery(via=VIA))


_CREATE_DOCS = openapi.operation(
    "Create files",
    tag=_TAG,
    security="any",
    description=(
        'A form with one or more parts `file` (all of them are kept, or none; the answer is `{"files": [...]}`), or '
        "a raw body of any other type (the answer is the file itself). `Content-Digest` and `Repr-Digest` are checked. "
        "With `Upload-Complete: ?0` a raw body is the beginning of a resumable upload (docs/resumable-http.md)."
    ),
    parameters=[
        openapi.IDEMPOTENCY_KEY,
        openapi.query("filename", "The name of a raw body; `name` means the same, as does Content-Disposition."),
        EXTERNAL_QUERY,
    ],
    body={**openapi.form_body(_FIELD, is_many=True), **openapi.raw_body()},
    answer={201: FILE, 202: COMPLETING},
    refusals=(400, 401, 403, 408, 409, 413, 415, 422, 429, 502, 503, 507),
)


_CONTENT_DOCS = openapi.download(
    "a file by its id",
    tag=_TAG,
    security="any",
    parameters=[openapi.path("file_id", "The file's id.")],
    refusals=(401, 403, 429),
)
