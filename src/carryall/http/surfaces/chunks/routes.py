"""The routes of the chunk sessions. A token for one file of the main service's (claim `file_id`) gets no other."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from carryall.http import openapi
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute
from carryall.http.download import Delivery, deliver
from carryall.http.guarded import Caller, guarded
from carryall.http.promises import delivered, still_delivering
from carryall.http.surfaces.chunks.bodies import (
    Begin,
    Begun,
    Complete,
    Completed,
    Delete,
    Done,
    Listing,
    Session,
    Stored,
)
from carryall.http.surfaces.chunks.form import CHUNK, DOOR, INDEX, SESSION, session_missing, take_chunk
from carryall.model.errors import Malformed, Missing
from carryall.model.file import File
from carryall.model.principal import Principal
from carryall.model.upload import Declared, Upload
from carryall.operations.admit import check_file_claim
from carryall.operations.authenticate import Realm
from carryall.ports.catalog_files import FileQuery

_MISMATCH = "Invalid upload_session_id or file_id."
_NO_FILE = "File not found."
_DELIVERING = "File upload completed. It is on its way to its store; the main service is notified when it is there."
_FILE_ID = re.compile(r"[0-9]{1,19}")
_PAGE = 1000


def router(context: Context) -> APIRouter:
    """Give the JSON routes."""
    route_class = guarded(context, Realm.CHUNKS, is_repeatable=True, made=_begun)
    routes = APIRouter(prefix="/upload", tags=["chunks"], route_class=route_class)

    @routes.post("/init", summary="Begin a session", **_repeatable(400, 401, 403, 409, 413, 422, 429, 503))
    async def init(body: Begin, request: Request, caller: Caller) -> Begun:
        call = Call(request, context)
        declared = Declared(
            name=body.original_file_name,
            door=DOOR,
            external_id=str(body.main_service_file_id),
            target=call.target or context.rules.chunk_target,
            errand=call.errand,
        )
        session = await context.door.open(caller, declared, is_resumable=True)
        return Begun(data=Session(upload_session_id=session.id))

    refusals = _documented(400, 401, 403, 404, 409, 422, 502, 503, 504, 507)

    @routes.post("/complete", summary="End a session", response_model=Completed, **refusals)
    async def complete(body: Complete, request: Request, caller: Caller) -> Completed | Response:
        call, file = Call(request, context), await _complete(context, caller, body)
        whole = await delivered(call, file)
        if whole is None:
            told = Completed(message=_DELIVERING, data=_stored(call, file)).model_dump()
            return still_delivering(call, file, told)
        return Completed(data=_stored(call, whole))

    @routes.delete("/file", summary="Delete a session or a file", **_documented(400, 401, 403, 404, 422))
    async def delete(caller: Caller, body: Delete | None = None) -> Done:
        return Done(message=await _delete(context, caller, body or Delete()))

    @routes.get("/files", summary="List your files", **_documented(401, 403))
    async def files(request: Request, caller: Caller) -> Listing:
        call = Call(request, context)
        return Listing(files=[_place(call, file) for file in await _all_files(context, caller)])

    return routes


def _documented(*refusals: int) -> dict[str, Any]:
    return {
        "responses": {status: openapi.problem(status) for status in refusals},
        "openapi_extra": {"security": openapi.SECURITY["jwt"]},
    }


def _repeatable(*refusals: int) -> dict[str, Any]:
    documented = _documented(*refusals)
    documented["openapi_extra"] = {**documented["openapi_extra"], "parameters": [openapi.IDEMPOTENCY_KEY]}
    return documented


def byte_routes(_context: Context) -> list[ByteRoute]:
    """Give the routes that carry bytes."""
    return [
        ByteRoute(("POST",), "/upload/chunk", _chunk, docs={"post": _CHUNK_DOCS}),
        ByteRoute(("GET", "HEAD"), "/upload/download/{file_id}", _download, docs=_DOWNLOAD_DOCS),
    ]


async def _begun(_call: Call, _principal: Principal, uploads: Sequence[Upload]) -> Response:
    """Answer for a session that an attempt before began."""
    return JSONResponse(Begun(data=Session(upload_session_id=uploads[0].id)).model_dump())


async def _chunk(call: Call) -> Response:
    principal = await call.principal(Realm.CHUNKS)
    await take_chunk(call, principal)
    return JSONResponse({"status": "success", "message": "Chunk uploaded successfully."})


async def _download(call: Call) -> Response:
    principal = await call.principal(Realm.CHUNKS)
    if not _FILE_ID.fullmatch(call.params["file_id"]):
        raise Missing(_NO_FILE, code="file_not_found")
    external_id = str(int(call.params["file_id"]))
    check_file_claim(principal, external_id)
    try:
        file = await call.context.serve.by_external_id(principal, external_id)
    except Missing as missing:
        raise Missing(_NO_FILE, code="file_not_found") from missing
    return await deliver(call, file, Delivery(via="api"))


async def _complete(context: Context, caller: Principal, body: Complete) -> File:
    """Make the session's file. Asked again it gives the same file; a wrong count loses nothing."""
    external_id = str(body.main_service_file_id)
    check_file_claim(caller, external_id)
    if body.total_chunks > context.rules.max_chunks:
        raise Malformed(f"total_chunks has to be from 1 to {context.rules.max_chunks}.", code="field_invalid")
    with session_missing(_MISMATCH):
        session = await context.door.look(caller, body.upload_session_id)
        if session.declared.external_id != external_id:
            raise Missing(_MISMATCH)
        return await context.door.complete(caller, session.id, segment_count=body.total_chunks)


async def _delete(context: Context, caller: Principal, body: Delete) -> str:
    """Delete what was asked for; give the message of the answer."""
    external_id = None if body.file_id is None else str(body.file_id)
    if external_id is not None:
        check_file_claim(caller, external_id)
    if body.upload_session_id is not None:
        await _delete_session(context, caller, body.upload_session_id, external_id)
    elif external_id is None:
        raise Malformed("You must provide upload_session_id.", code="session_missing")
    if external_id is None:
        return "Session folder and related files deleted (if existed)."
    try:
        await context.files.delete_by_external_id(caller, external_id)
    except Missing as missing:
        if body.upload_session_id is None:
            raise Missing(_NO_FILE, code="file_not_found") from missing
    return f"File {external_id} deleted successfully."


async def _delete_session(context: Context, caller: Principal, session_id: str, external_id: str | None) -> None:
    """End a session, and delete the file that it became if it was completed."""
    with session_missing(_MISMATCH if external_id else "Invalid upload_session_id."):
        session = await context.door.look(caller, session_id)
        if external_id not in (None, session.declared.external_id):
            raise Missing(_MISMATCH)
        await context.door.abort(caller, session_id)
        # Looked at once more: it may have been completed just before it was to be given up.
        file_id = (await context.door.look(caller, session_id)).file_id
    if file_id is not None:
        with suppress(Missing):  # deleted or replaced before
            await context.files.delete(caller, file_id)


async def _all_files(context: Context, caller: Principal) -> Iterable[File]:
    query = FileQuery(owner=caller.id, has_external_id=True, sort="name", limit=_PAGE)
    found: list[File] = []
    while page := await context.serve.find(caller, query):
        found += page
        query = replace(query, after=(page[-1].name, page[-1].id))
    return found


def _stored(call: Call, file: File) -> Stored:
    place = _place(call, file)
    return Stored(
        file_path_on_upload_service=place,
        file_download_url=place,
        file_id=file.id,
        size=file.size,
        sha256=file.sha256,
    )


def _place(call: Call, file: File) -> str:
    """Give where a finished file is: the store's own address where it has one (decision 21)."""
    return call.context.serve.address(file) or call.url("upload", "download", file.external_id or "")


_CHUNK_DOCS = openapi.operation(
    "Send a chunk",
    tag="chunks",
    security="jwt",
    description=(
        "Chunks come in any order and in parallel. One that is sent again replaces the one before it. The fields may "
        "stand before the file or after it; before it is cheaper."
    ),
    body=openapi.form_body(
        CHUNK,
        fields={
            SESSION: {"type": "string", "description": "From the beginning of the session."},
            INDEX: {"type": "integer", "minimum": 0, "description": "The chunk's place, counted from 0."},
        },
    ),
    answer={200: {"status": "success", "message": "Chunk uploaded successfully."}},
    refusals=(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 507),
)
_DOWNLOAD_DOCS = openapi.download(
    "a file of a chunk session",
    tag="chunks",
    security="jwt",
    parameters=[openapi.path("file_id", "The `main_service_file_id`.")],
    refusals=(401, 403),
)
