"""What users ask about themselves and their files: records, lists, tokens, deleting."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from carryall.http import openapi
from carryall.http.context import Context
from carryall.http.guarded import Caller, guarded
from carryall.http.headers import bearer
from carryall.http.surfaces.blobs.records import HIDDEN, FileRecord, UserRecord, file_record, user_record
from carryall.http.surfaces.blobs.socket import add_socket
from carryall.model.errors import Malformed, Missing
from carryall.model.principal import Principal, Scope
from carryall.operations.accounts import NewToken
from carryall.operations.authenticate import Realm
from carryall.ports.catalog_files import FileQuery

_PAGE = 200  # files read at once; a list of any length is sent as it is read
_SECRET = {"Cache-Control": "no-store"}


class Identity(BaseModel):
    """Who a token belongs to, and the token that was sent."""

    user: str
    token: str


class Message(BaseModel):
    """What was done."""

    message: str


def router(context: Context) -> APIRouter:
    """Give blobs' JSON routes. All of them ask for a Bearer token."""
    routes = APIRouter(tags=["blobs"], route_class=guarded(context, Realm.BLOBS))
    _add_users(routes, context)
    _add_files(routes, context)
    add_socket(routes, context)
    return routes


def _documented(*refusals: int, model: Any = None) -> dict[str, Any]:
    """Say in OpenAPI who may ask, what is refused, and what a streamed answer holds."""
    good = {} if model is None else {200: {"model": model}}
    return {
        "responses": {**good, **{status: openapi.problem(status) for status in (401, 429, *refusals)}},
        "openapi_extra": {"security": openapi.SECURITY["user"]},
    }


def _add_users(routes: APIRouter, context: Context) -> None:
    @routes.get("/auth", summary="Say whose token this is", **_documented())
    async def auth(request: Request, response: Response, caller: Caller) -> Identity:
        response.headers.update(_SECRET)
        return Identity(user=caller.name, token=bearer(request.headers) or "")

    @routes.get(
        "/user/{user_id:path}",
        summary="Describe a user; give or change the token",
        description=(
            "Users see themselves, the administrator everybody. A user's first token is made when the administrator "
            "asks for a name in `ALLOWED_USERS` the first time. `function=change_token` makes a new token and revokes "
            "the present one at once; it takes that one, or the administrator's. A token is shown once."
        ),
        **_documented(400, 403, 404, 422),
    )
    async def user(
        response: Response,
        caller: Caller,
        user_id: Annotated[str, Path(max_length=1000)],
        function: Annotated[str | None, Query(max_length=100)] = None,
    ) -> UserRecord:
        response.headers.update(_SECRET)
        return await _user(context, caller, user_id, function)


async def _user(context: Context, caller: Principal, name: str, function: str | None) -> UserRecord:
    caller.require(Scope.READ)
    accounts = context.accounts
    if not caller.is_admin and caller.id != f"user:{name}":
        raise Missing("User not found", code="user_not_found")
    made: NewToken | None = None
    if function == "change_token":
        made = await accounts.change_token(caller, name)
    elif caller.is_admin:
        made = await accounts.first_token(name)
    user = await accounts.user(name)
    if user is None:
        raise Missing("User not found", code="user_not_found")
    return user_record(user, await accounts.usage(f"user:{name}"), HIDDEN if made is None else made.secret)


def _add_files(routes: APIRouter, context: Context) -> None:
    @routes.get(
        "/list",
        summary="List your files, newest first",
        response_class=StreamingResponse,
        **_documented(403, model=list[FileRecord]),
    )
    async def list_files(caller: Caller) -> StreamingResponse:
        caller.require(Scope.READ)
        return StreamingResponse(_listed(context, caller), media_type="application/json")

    @routes.delete("/delete/{file_id}", summary="Delete a file", **_documented(403, 404, 422))
    async def delete(caller: Caller, file_id: Annotated[str, Path(max_length=1000)]) -> Message:
        await context.files.delete_by_short_id(caller, file_id)
        return Message(message="File deleted")

    # Clients of the described system use both spellings, and a redirect of a DELETE is followed by few.
    @routes.delete("/delete_all/", include_in_schema=False)
    @routes.delete("/delete_all", summary="Delete all your files, or the unused", **_documented(400, 403, 422))
    async def delete_all(
        caller: Caller,
        confirm: Annotated[str, Query(description='"yes", in any case.')] = "",
        function: Annotated[str, Query(description='"all" or "expired": not downloaded for 90 days.')] = "all",
    ) -> Message:
        return await _delete_all(context, caller, confirm, function)


async def _listed(context: Context, caller: Principal) -> AsyncIterator[str]:
    query: FileQuery | None = FileQuery(owner=caller.id, limit=_PAGE)
    opening = "["
    while query is not None:
        found = await context.serve.find(caller, query)
        if found:
            yield opening + ",".join(file_record(file).model_dump_json() for file in found)
            opening = ","
        query = query.following(found[-1]) if len(found) == _PAGE else None
    yield "[]" if opening == "[" else "]"


async def _delete_all(context: Context, caller: Principal, confirm: str, function: str) -> Message:
    if confirm.lower() != "yes":
        raise Malformed("Nothing was deleted: confirm=yes is needed.", code="confirm_missing")
    if function not in ("all", "expired"):
        raise Malformed('Nothing was deleted: function has to be "all" or "expired".', code="function_invalid")
    await context.files.delete_all(caller, only_idle=function == "expired")
    if function == "expired":
        return Message(message="All files not been download for 90 days are deleted")
    return Message(message="All files deleted")
