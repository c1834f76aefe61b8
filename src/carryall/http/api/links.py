"""Links to a file, for whoever holds them: made and revoked by the owner, followed at /d/."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, StrictInt
from starlette.requests import Request
from starlette.responses import Response

from carryall.http import openapi
from carryall.http.api.files import FileId
from carryall.http.api.moments import Ending
from carryall.http.api.room import documented, native, repeatable
from carryall.http.api.shapes import LINK, LinkShape, link_shape
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute
from carryall.http.download import Delivery, deliver
from carryall.http.guarded import Caller
from carryall.http.headers import basic_password
from carryall.model.errors import Missing, Unauthenticated
from carryall.operations.files import LinkWish
from carryall.operations.serve import Presented

_MOST_DOWNLOADS = 1_000_000_000


class LinkRequest(Ending):
    """What a new link is asked to be; without an end it stays until it is revoked."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"expires_in": 86400, "max_downloads": 5, "password": "…"}}
    )

    max_downloads: Annotated[StrictInt, Field(ge=1, le=_MOST_DOWNLOADS)] | None = None
    password: Annotated[str, Field(min_length=1, max_length=1024)] | None = None


class Links(BaseModel):
    """A file's links, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"links": [LINK]}})

    links: list[LinkShape]


def router(context: Context) -> APIRouter:
    """Give the JSON routes of links."""
    routes = native(context, "v1 links", is_repeatable=True)

    @routes.post("/files/{file_id}/links", status_code=201, summary="Make a link", **repeatable(404, 409, 422))
    async def share(request: Request, caller: Caller, file_id: FileId, wish: LinkRequest) -> LinkShape:
        end = wish.end(context.clock.now())
        asked = LinkWish(expires_at=end, max_downloads=wish.max_downloads, password=wish.password)
        return link_shape(Call(request, context), await context.files.share(caller, file_id, asked))

    @routes.get("/files/{file_id}/links", summary="List a file's links", **documented(404, 422))
    async def links(request: Request, caller: Caller, file_id: FileId) -> Links:
        call = Call(request, context)
        return Links(links=[link_shape(call, one) for one in await context.files.links(caller, file_id)])

    @routes.delete("/files/{file_id}/links/{link_id}", status_code=204, summary="Revoke a link", **documented(404, 422))
    async def unshare(caller: Caller, file_id: FileId, link_id: Annotated[str, Path(max_length=100)]) -> None:
        await context.files.unshare(caller, file_id, link_id)

    return routes


def byte_routes(_context: Context) -> list[ByteRoute]:
    """Give the route that follows links."""
    return [ByteRoute(("GET", "HEAD"), "/d/{link_id}", _follow, docs=_FOLLOW_DOCS)]


async def _follow(call: Call) -> Response:
    """Give a link's file. Guesses at links and passwords are counted by client address (threat 12)."""
    admission = call.context.admission
    await admission.guess(call.client)
    presented = Presented(
        link_id=call.params["link_id"],
        expires_text=call.query("expires"),
        signature=call.query("signature"),
        password=basic_password(call.headers),
    )
    try:
        file, link = await call.context.serve.by_link(presented)
    except (Missing, Unauthenticated) as error:
        if error.stable_code != "link_password_required":  # who hasn't been asked before hasn't guessed
            await admission.miss(call.client)
        raise
    return await deliver(call, file, Delivery(via=f"link:{link.id}", link=link))


_PARAMETERS = [
    openapi.path("link_id", "The link's id."),
    openapi.query("expires", "The link's end in seconds since 1970, where it has one."),
    openapi.query("signature", "What proves that end."),
]
_FOLLOW_DOCS = openapi.download(
    "a file by a link", tag="v1 links", security="link", parameters=_PARAMETERS, refusals=(401, 410, 429)
)
