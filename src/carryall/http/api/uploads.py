"""Uploads of the native API, looked at: nothing here touches one."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request

from carryall.http.api.room import documented, native
from carryall.http.api.shapes import UploadShape, upload_shape
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.guarded import Caller
from carryall.model.principal import Scope


def router(context: Context) -> APIRouter:
    """Give the routes that tell of uploads."""
    routes = native(context, "v1 files")

    @routes.get("/uploads/{upload_id}", summary="Tell how far an upload is", **documented(404, 422))
    async def upload(request: Request, caller: Caller, upload_id: Annotated[str, Path(max_length=100)]) -> UploadShape:
        if Scope.WRITE not in caller.scopes:  # who may only write still may ask what became of it
            caller.require(Scope.READ)
        return upload_shape(Call(request, context), await context.door.look(caller, upload_id))

    return routes
