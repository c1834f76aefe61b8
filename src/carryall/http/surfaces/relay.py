"""Relay: a form (or raw) upload by a service token, handed to a store, answered with a link."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from carryall.http import openapi
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute
from carryall.http.errands import files_of, once
from carryall.http.forms import FilePart
from carryall.http.promises import delivered, still_delivering
from carryall.http.protocols import resumable
from carryall.http.protocols.form import (
    FormPlan,
    complete_form,
    is_form,
    landed_form,
    no_file,
    no_name,
    require_file,
)
from carryall.http.protocols.put import given_name, land_raw
from carryall.model.errors import Malformed
from carryall.model.file import File
from carryall.model.principal import Principal
from carryall.model.upload import Declared, Upload
from carryall.operations.authenticate import Realm
from carryall.operations.files import LinkWish

DOOR = "relay"
_FIELD = "file"
_RELAY_VERSION = "1.0.0"  # of the relay API: a real client asserts it (decision 23)

UPLOAD_DOCS: dict[str, Any] = openapi.operation(
    "Upload a file for a service or a user",
    tag="relay and blobs",
    security="any",
    description=(
        "With `X-Auth-Token` (or `X-API-Key`): relay's upload, as a form with the part `file` or as a raw body with "
        "`?fileName=`. With `Authorization: Bearer`: blobs' upload, a form with the part `file`, or a raw body with a "
        "name. With `Upload-Complete: ?0` a raw body is the beginning of a resumable upload (docs/resumable-http.md)."
    ),
    parameters=[
        openapi.IDEMPOTENCY_KEY,
        openapi.query("service", "The store that the file goes to, or several: `local,s3`, `any:s3,mega`."),
        openapi.query("keep", "Relay: `false` gives the file up when it can't be delivered at once."),
        openapi.query("fileName", "The name of a raw body; Content-Disposition may have it instead."),
    ],
    body={**openapi.form_body(_FIELD), **openapi.raw_body()},
    answer={
        200: {
            "status": "success",
            "message": "File uploaded successfully",
            "filename": "level.png",
            "service": "local",
            "link": "http://127.0.0.1:8000/d/9dK0…",
            "file_id": "4fGh…",
            "file_url": "http://127.0.0.1:8000/s/Xy7abc23",
            "size": 1024,
            "sha256": "9f86d081…",
        }
    },
    refusals=(400, 401, 403, 408, 409, 413, 415, 422, 429, 502, 503, 504, 507),
)


def router(context: Context) -> APIRouter:
    """Give relay's JSON routes. Both are public: clients and load balancers ask them."""
    routes = APIRouter(tags=["relay"])

    @routes.head("/ping", include_in_schema=False)
    @routes.get("/ping", summary="Say that the server runs")
    async def ping() -> dict[str, str]:
        return {"message": "Server running"}

    @routes.head("/status", include_in_schema=False)
    @routes.get("/status", summary="Say what the server is and which stores it has")
    async def status() -> dict[str, Any]:
        return {
            "status": "healthy",
            "version": _RELAY_VERSION,
            "server_version": context.rules.version,
            "service": "Relay Cloud Storage API",
            "supported_services": context.health.services,
        }

    return routes


def byte_routes(_context: Context) -> list[ByteRoute]:
    """Give relay's own byte routes: none, since POST /upload is shared with blobs (http/routes.py)."""
    return []


async def upload(call: Call) -> Response:
    """Take a file for the service: authenticate, choose the store, land it, answer its link."""
    return await once(call, await call.principal(Realm.RELAY), _make, _made)


async def _make(call: Call, principal: Principal) -> Response:
    promise = _promise(call, principal)
    if not is_form(call) and resumable.begins(call):
        return await resumable.begin(call, principal, _declared(call, promise), ended=ended)
    land = _from_form if is_form(call) else _from_raw
    return await _told(call, principal, await land(call, principal, promise))


@resumable.or_began
async def _made(call: Call, principal: Principal, uploads: Sequence[Upload]) -> Response:
    """Answer for what an attempt before made."""
    (file,) = await files_of(call, principal, uploads)
    return await _told(call, principal, file)


async def ended(call: Call, principal: Principal, _upload: Upload, file: File) -> Response:
    """Answer the end of an upload that began here."""
    return await _told(call, principal, file)


def _promise(call: Call, principal: Principal) -> Declared:
    """Say what becomes of what is sent: the store that `?service=` names has it before the answer.

    A client that repeats itself gets one file. With `?keep=false` it goes again when it can't be delivered.
    """
    asked = call.target
    target = call.context.rules.default_service if asked is None else asked
    call.context.targets.of(principal, target)
    keep = (call.query("keep") or "true").lower()
    if keep not in ("true", "false"):
        raise Malformed("keep is true or false.", code="field_invalid")
    repeat_s = call.context.rules.relay_repeat_s
    return Declared(name="", door=DOOR, target=target, repeat_s=repeat_s, gives_up=keep == "false", wants_link=True)


async def _from_form(call: Call, principal: Principal, promise: Declared) -> File:
    def declare(part: FilePart) -> Declared:
        return replace(promise, name=part.filename)

    async with landed_form(call, principal, FormPlan(_FIELD, declare)) as landed:
        if landed.has_empty_choice and not landed.uploads:
            raise no_name()
        require_file(landed, _FIELD)
        return (await complete_form(call, principal, landed))[0]


async def _from_raw(call: Call, principal: Principal, promise: Declared) -> File:
    return await land_raw(call, principal, _declared(call, promise))


def _declared(call: Call, promise: Declared) -> Declared:
    """Say what a raw body is. It has to bring a name: without one it is a form that forgot to say so, or nothing."""
    name = given_name(call)
    if name is None:
        raise no_file(_FIELD)
    return replace(promise, name=name)


async def _told(call: Call, principal: Principal, file: File) -> Response:
    """Answer when the file is where it was promised to be, with its link there."""
    whole = await delivered(call, file)
    told = {
        "filename": file.name,
        "service": str(file.target),
        "file_id": file.id,
        "file_url": call.url("s", file.short_id),
        "size": file.size,
        "sha256": file.sha256,
    }
    if whole is None:
        waiting = {"status": "accepted", "message": "File received. It is on its way to its store."}
        return still_delivering(call, file, {**waiting, **told})
    link = next((copy.link for copy in whole.copies if copy.is_stored and copy.link), None)
    if link is None:
        # The store has no public links, so we give one: 128 random bits, without an end.
        shared = await call.context.files.share(principal, file.id, LinkWish())
        link = call.url("d", shared.link.id)
    return JSONResponse({"status": "success", "message": "File uploaded successfully", **told, "link": link})
