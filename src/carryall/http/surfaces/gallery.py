"""Gallery: images from browsers, several in one form, all or none, each at a preview address that can't be guessed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from carryall.http import openapi
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute
from carryall.http.download import Delivery, deliver
from carryall.http.errands import files_of, once
from carryall.http.forms import FilePart
from carryall.http.protocols.form import FormPlan, complete_form, is_form, landed_form
from carryall.http.who import presented, principal_of
from carryall.model.errors import Malformed, Missing, RateLimited, Unauthenticated
from carryall.model.file import File
from carryall.model.principal import Kind, Principal
from carryall.model.upload import Declared, Upload
from carryall.operations.admit import neighbourhood
from carryall.operations.authenticate import Presented, Realm
from carryall.ports.catalog_files import FileQuery

DOOR = "gallery"
_FIELD = "files"
_CACHE = "public, max-age=3600"
_TURN_S = 5  # how long a visitor who sends too much at once is asked to wait
_LAST_PAGE = 1_000_000

_UPLOADED = {
    "stored_filename": "4fGhR2mP8sQ1tVx7Lb3Nc9.png",
    "preview_url": "http://127.0.0.1:8000/uploads/4fGhR2mP8sQ1tVx7Lb3Nc9.png",
    "original_filename": "image2.png",
    "file_size": 250000,
    "content_type": "image/png",
}
_LISTED: dict[str, Any] = {
    "id": "9dK0aW5zEo3TgYuPq6Xm2h",
    "original_name": "image2.png",
    "filename": "4fGhR2mP8sQ1tVx7Lb3Nc9.png",
    "file_path": "/uploads/4fGhR2mP8sQ1tVx7Lb3Nc9.png",
    "url": "http://127.0.0.1:8000/uploads/4fGhR2mP8sQ1tVx7Lb3Nc9.png",
    "upload_time": "2026-01-31T12:00:00Z",
    "size": 250000,
    "dimensions": None,
    "status": "completed",
    "caption": None,
    "tags": [],
    "faces": [],
    "face_cluster_ids": [],
}
_LIST_REFUSALS = (401, 403, 404, 422, 429)


class Dimensions(BaseModel):
    """An image's size in pixels."""

    width: int
    height: int


class Image(BaseModel):
    """One image in the list. What nobody has looked for yet is null or empty."""

    model_config = ConfigDict(json_schema_extra={"example": _LISTED})

    id: str
    original_name: str
    filename: str
    file_path: str
    url: str
    upload_time: datetime
    size: int
    dimensions: Dimensions | None = None
    status: str = "completed"
    caption: str | None = None
    tags: list[str] = []
    faces: list[dict[str, Any]] = []
    face_cluster_ids: list[str] = []


class Page(BaseModel):
    """A page of the list, newest first."""

    data: list[Image]
    total: int
    page: int
    limit: int


def router(context: Context) -> APIRouter:
    """Give the gallery's JSON routes."""
    routes = APIRouter(prefix="/api", tags=["gallery"])
    listed: dict[str, Any] = {
        "responses": {status: openapi.problem(status) for status in _LIST_REFUSALS},
        "openapi_extra": {"security": openapi.SECURITY["optional"]},
    }

    async def reader(request: Request) -> Principal:
        return await _reader(request, context)

    @routes.get("/health", summary="Say that the gallery is there")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/uploads", summary="List images", **listed)
    async def uploads(
        request: Request,
        principal: Annotated[Principal, Depends(reader)],
        page: Annotated[int, Query(ge=1, le=_LAST_PAGE)] = 1,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Page:
        return await _page(Call(request, context), principal, page=page, limit=limit)

    @routes.get("/uploads/{image_id}", summary="Describe an image", **listed)
    async def upload(
        request: Request,
        principal: Annotated[Principal, Depends(reader)],
        image_id: Annotated[str, Path(max_length=100)],
    ) -> Image:
        return await _one(Call(request, context), principal, image_id)

    return routes


def byte_routes(context: Context) -> list[ByteRoute]:
    """Give the gallery's byte routes."""
    turns = Turns(context.rules.anonymous_open_uploads)

    async def upload(call: Call) -> Response:
        principal = await call.principal(Realm.GALLERY)
        if principal.kind is not Kind.ANONYMOUS:
            return await once(call, principal, _upload, _made)
        with turns.taken(neighbourhood(call.client)):
            return await once(call, principal, _upload, _made)

    return [
        ByteRoute(("POST",), "/api/upload", upload, docs={"post": _UPLOAD_DOCS}),
        ByteRoute(("GET", "HEAD"), f"{context.rules.gallery_path}/{{name}}", _show, docs=_SHOW_DOCS),
    ]


class Turns:
    """How many uploads are under way from each visitor's address; a restart ends those, so memory is enough."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def taken(self, client: str) -> Iterator[None]:
        """Count one upload while the block runs. Raises RateLimited when the address has enough of them."""
        if self._under_way[client] >= self._at_most:
            raise RateLimited(
                f"{self._at_most} uploads are under way from your address, as many as are allowed. Let one end first.",
                code="too_many_open_uploads",
                retry_after_s=_TURN_S,
                limit=self._at_most,
            )
        self._under_way[client] += 1
        try:
            yield
        finally:
            self._under_way[client] -= 1
            if not self._under_way[client]:
                del self._under_way[client]


async def _reader(request: Request, context: Context) -> Principal:
    """Say whose images may be listed: a visitor's where the list is public, else those of whoever has the token."""
    if presented(request.headers) != Presented():
        return await principal_of(request, context, Realm.GALLERY)
    if not context.rules.is_gallery_list_public:
        raise Unauthenticated("Not authenticated", code="token_missing")
    visitor = context.authenticate.anonymous
    await context.admission.request(visitor, Call(request, context).client)
    return visitor


async def _page(call: Call, principal: Principal, *, page: int, limit: int) -> Page:
    query = FileQuery(door=DOOR, offset=(page - 1) * limit, limit=limit)
    found = await call.context.serve.find(principal, query)
    total = await call.context.serve.count(principal, query)
    return Page(data=[_image(call, file) for file in found], total=total, page=page, limit=limit)


async def _one(call: Call, principal: Principal, image_id: str) -> Image:
    file = await call.context.serve.by_id(principal, image_id)
    if file.door != DOOR:
        raise Missing("File not found", code="file_not_found")
    return _image(call, file)


async def _upload(call: Call, principal: Principal) -> Response:
    if not is_form(call):
        raise _no_files()
    plan = FormPlan(_FIELD, lambda part: _declare(call, part), max_files=call.context.rules.gallery_max_files)
    async with landed_form(call, principal, plan) as landed:
        if not landed.uploads:
            raise _no_files()
        files = await complete_form(call, principal, landed)
    return _kept(call, files)


async def _made(call: Call, principal: Principal, uploads: Sequence[Upload]) -> Response:
    """Answer for what an attempt before made."""
    return _kept(call, await files_of(call, principal, uploads))


def _kept(call: Call, files: Sequence[File]) -> Response:
    return JSONResponse(
        {"message": f"Successfully uploaded {len(files)} files", "data": [_uploaded(call, file) for file in files]}
    )


def _declare(call: Call, part: FilePart) -> Declared:
    """Say of a part what it will be. Its name's ending is judged by the door, before the name below is used."""
    ending = part.filename.rpartition(".")[2].lower()
    return Declared(
        name=part.filename,
        door=DOOR,
        public_name=f"{call.context.ids.long()}.{ending}",
        only_extensions=tuple(sorted(call.context.rules.gallery_extensions)),
    )


def _no_files() -> Malformed:
    return Malformed(f"No files found: send a form with one or more files in parts named {_FIELD}.", code="no_files")


def _uploaded(call: Call, file: File) -> dict[str, Any]:
    return {
        "stored_filename": file.public_name,
        "preview_url": call.url(*_place(call, file)),
        "original_filename": file.name,
        "file_size": file.size,
        "content_type": file.media_type,
    }


def _image(call: Call, file: File) -> Image:
    place = _place(call, file)
    return Image(
        id=file.id,
        original_name=file.name,
        filename=place[-1],
        file_path="/" + "/".join(place),
        url=call.url(*place),
        upload_time=file.created_at,
        size=file.size,
    )


def _place(call: Call, file: File) -> list[str]:
    """Give the parts of the path that an image is served at."""
    return [*call.context.rules.gallery_path.strip("/").split("/"), file.public_name or ""]


async def _show(call: Call) -> Response:
    try:
        file = await call.context.serve.by_public_name(call.params["name"])
    except Missing as missing:
        raise Missing("Not Found", code="file_not_found") from missing
    return await deliver(call, file, Delivery(via=DOOR, disposition="inline", cache=_CACHE))


_UPLOAD_DOCS = openapi.operation(
    "Upload images",
    tag="gallery",
    security="optional",
    description=(
        "A form with one or more files in parts named `files`: all of them are kept, or none. The ending of each "
        "name and the content have to agree with the allowed types. Visitors need no token while the gallery is open."
    ),
    parameters=[openapi.IDEMPOTENCY_KEY],
    body=openapi.form_body(_FIELD, is_many=True),
    answer={200: {"message": "Successfully uploaded 1 files", "data": [_UPLOADED]}},
    refusals=(400, 401, 403, 406, 408, 409, 413, 415, 422, 429, 502, 503, 507),
)
_SHOW_DOCS = openapi.download(
    "an image",
    tag="gallery",
    security="none",
    parameters=[openapi.path("name", "The `stored_filename` of the upload's answer.")],
    refusals=(),
)
