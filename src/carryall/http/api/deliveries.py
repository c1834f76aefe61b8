"""Deliveries: how far files are on their way to their stores, and one more try."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from carryall.http.api.files import FileId
from carryall.http.api.paging import cursor_after, read_cursor
from carryall.http.api.room import documented, native
from carryall.http.api.shapes import DELIVERY, CopyShape, DeliveryShape, copy_shape, delivery_shape
from carryall.http.context import Context
from carryall.http.guarded import Caller
from carryall.model.file import CopyState
from carryall.operations.deliveries import UNFINISHED
from carryall.ports.catalog_files import CopyQuery
from carryall.ports.secrets import Secrets

_ORDER = "deliveries"


class Listing(BaseModel):
    """The query parameters of a list of deliveries."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(None, description="The `next_cursor` of the page before.")
    limit: int = Field(100, ge=1, le=1000, description="Deliveries on a page.")
    store: str | None = Field(None, max_length=64, description="To this store alone.")
    state: CopyState | None = Field(None, description="In this state; left out: in every one but `stored`.")
    owner: str | None = Field(None, max_length=200, description="For the administrator: whose files.")

    def query(self, secrets: Secrets) -> CopyQuery:
        """Give the query; one delivery more than a page holds tells whether there is a next one."""
        after = read_cursor(secrets, self.cursor, _ORDER) if self.cursor is not None else None
        return CopyQuery(
            states=(self.state,) if self.state is not None else UNFINISHED,
            store=self.store,
            owner=self.owner,
            after=(int(after[0]), str(after[1]), str(after[2])) if after else None,
            limit=self.limit + 1,
        )


class Deliveries(BaseModel):
    """A page of deliveries, those of the newest files first. `next_cursor` is null on the last one."""

    model_config = ConfigDict(json_schema_extra={"example": {"deliveries": [DELIVERY], "next_cursor": None}})

    deliveries: list[DeliveryShape]
    next_cursor: str | None


def router(context: Context) -> APIRouter:
    """Give the routes of deliveries."""
    routes = native(context, "v1 deliveries")

    @routes.get("/deliveries", summary="List deliveries that aren't done, or those in one state", **documented(422))
    async def listed(caller: Caller, listing: Annotated[Listing, Query()]) -> Deliveries:
        if listing.owner not in (None, caller.id):
            caller.require_admin()
        query = listing.query(context.secrets)
        found = await context.deliveries.find(caller, query)
        page, cursor = found[: listing.limit], None
        if len(found) > listing.limit:
            cursor = cursor_after(context.secrets, _ORDER, query.following(page[-1]).after or ())
        return Deliveries(deliveries=[delivery_shape(*one) for one in page], next_cursor=cursor)

    @routes.post(
        "/files/{file_id}/copies/{store}/retry",
        status_code=202,
        summary="Try a delivery once more, now",
        **documented(404, 409, 422),
    )
    async def retry(caller: Caller, file_id: FileId, store: Annotated[str, Path(max_length=64)]) -> CopyShape:
        return copy_shape(await context.deliveries.retry(caller, file_id, store))

    @routes.post(
        "/files/{file_id}/copies/{store}/link",
        summary="Make a copy public at its provider, and give its link",
        **documented(404, 409, 422, 502, 504),
    )
    async def link(caller: Caller, file_id: FileId, store: Annotated[str, Path(max_length=64)]) -> CopyShape:
        return copy_shape(await context.deliveries.link(caller, file_id, store))

    return routes
