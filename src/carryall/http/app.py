"""Build the application: middleware order, routes, documents."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, compile_path
from starlette.types import ASGIApp

from carryall.http import openapi, problems
from carryall.http.api.pages import OwnFiles, add_documents
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute, Dispatcher
from carryall.http.observe import Observe
from carryall.http.routes import byte_routes, routers
from carryall.model.errors import CarryallError

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_ABOUT = """Takes any file through any door and carries it to any storage.

Four described APIs (relay, blobs, gallery, chunks) and the native one (/v1) on one server. Every error's body has
`detail`, a sentence, and `code`, which is stable.
"""
_EXPOSED = (
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Repr-Digest",
    "Retry-After",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Complete",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Upload-Draft-Interop-Version",
    "Upload-Expires",
    "Upload-Incomplete",
    "Upload-Length",
    "Upload-Limit",
    "Upload-Metadata",
    "Upload-Offset",
    "X-Request-Id",
)


def build_app(context: Context, *, lifespan: Lifespan, logs_access: bool) -> ASGIApp:
    """Build the ASGI application, outermost layer first: observe, CORS, byte routes, FastAPI."""
    routes = byte_routes(context)
    api = _fastapi(context, routes, lifespan)
    check_collisions(api, routes)
    dispatcher = Dispatcher(api, routes, context)
    cors = CORSMiddleware(
        dispatcher,
        allow_origins=list(context.rules.origins),
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=False,  # no described system uses cookies (decision 14)
        expose_headers=list(_EXPOSED),
        max_age=86400,
    )
    return Observe(cors, context, logs_access=logs_access)


def _fastapi(context: Context, routes: Sequence[ByteRoute], lifespan: Lifespan) -> FastAPI:
    api = FastAPI(
        title="Carryall",
        version=context.rules.version,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if context.rules.are_docs_on else None,
        redirect_slashes=False,  # /upload/ must not become /upload: the branch decides who is asked for
        license_info={"name": "MIT"},
    )
    for router in routers(context):
        api.include_router(router)
    if context.rules.are_docs_on:
        add_documents(api)
    if context.rules.web_dir is not None:
        api.mount("/static", OwnFiles(directory=context.rules.web_dir, html=True))
    for kind, answer in (
        (CarryallError, problems.on_error),
        (HTTPException, _with_allow(api, routes)),
        (RequestValidationError, problems.on_invalid),
        (Exception, problems.on_crash),
    ):
        api.add_exception_handler(kind, answer)
    plain = api.openapi

    def documented() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = openapi.merged(plain(), routes)
        return api.openapi_schema

    api.openapi = documented  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return api


def _with_allow(api: FastAPI, routes: Sequence[ByteRoute]) -> Callable[[Request, Exception], Any]:
    """Tell a wrong method from a wrong path over both kinds of routes (RFC 9110 §15.5.6)."""

    async def answer(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 0
        # A 405 is the router's own word and names one route's methods; a 404 may be a route's, and then stays.
        if status == 405 or (status == 404 and "route" not in request.scope):
            allowed = methods_at(api, routes, request.scope["path"])
            if allowed:
                error = HTTPException(405, "Method Not Allowed", headers={"Allow": ", ".join(sorted(allowed))})
        return await problems.on_http_error(request, error)

    return answer


def plain_routes(api: FastAPI) -> Iterator[BaseRoute]:
    """Walk FastAPI's routes; those of an included router stand one level down."""
    for route in api.routes:
        included = getattr(route, "original_router", None)
        yield from included.routes if included is not None else [route]


def methods_at(api: FastAPI, routes: Sequence[ByteRoute], path: str) -> set[str]:
    """Give every method that some route serves at this path."""
    allowed: set[str] = set()
    for byte_route in routes:
        if compile_path(byte_route.path)[0].match(path):
            allowed.update(byte_route.methods)
    scope = {"type": "http", "method": "", "path": path, "root_path": ""}
    for route in plain_routes(api):
        match, _ = route.matches(scope)
        if match is not Match.NONE:
            allowed.update(getattr(route, "methods", None) or ())
    return allowed


def check_collisions(api: FastAPI, routes: Sequence[ByteRoute]) -> None:
    """Raise at start when two routes would answer the same method and path."""
    seen: set[tuple[str, str]] = set()
    listed = [(method, route.path) for route in routes for method in route.methods]
    listed += [
        (method, getattr(route, "path", ""))
        for route in plain_routes(api)
        for method in getattr(route, "methods", None) or ()
    ]
    for one in listed:
        if one in seen:
            raise RuntimeError(f"two routes answer {one[0]} {one[1]}")
        seen.add(one)
