"""The first page, and the API documents, whose scripts come with the server: they work without any network."""

from html import escape
from importlib.resources import files

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from carryall.http.context import Context

_ASSETS = "/docs-assets"
_PAGE_CSP = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_OWN_CSP = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
# Swagger UI and ReDoc start by an inline script; nothing of a user's is on these pages.
_DOCS_CSP = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; worker-src blob:; frame-ancestors 'none'"
)


def router(context: Context) -> APIRouter:
    """Give the pages for people."""
    routes = APIRouter(tags=["server"])
    landing = files("carryall.http.web").joinpath("landing.html").read_text(encoding="utf-8")
    landing = landing.replace("{version}", escape(context.rules.version))

    @routes.head("/", include_in_schema=False)
    @routes.get("/", summary="Say hello", response_model=None)
    async def hello(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(landing, headers={"Content-Security-Policy": _PAGE_CSP, "Vary": "Accept"})
        return JSONResponse({"message": "Hello World", "status": "online"}, headers={"Vary": "Accept"})

    return routes


def add_documents(api: FastAPI) -> None:
    """Serve /docs and /redoc with the scripts and styles of the fastapi-offline package."""
    assets = files("fastapi_offline").joinpath("static")
    api.mount(_ASSETS, StaticFiles(directory=str(assets)), name="docs-assets")

    @api.get("/docs", include_in_schema=False)
    async def swagger() -> HTMLResponse:
        return _with_policy(
            get_swagger_ui_html(
                openapi_url="/openapi.json",
                title="Carryall: the API",
                swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
                swagger_css_url=f"{_ASSETS}/swagger-ui.css",
                swagger_favicon_url=f"{_ASSETS}/favicon.png",
            )
        )

    @api.get("/redoc", include_in_schema=False)
    async def redoc() -> HTMLResponse:
        return _with_policy(
            get_redoc_html(
                openapi_url="/openapi.json",
                title="Carryall: the API",
                redoc_js_url=f"{_ASSETS}/redoc.standalone.js",
                redoc_favicon_url=f"{_ASSETS}/favicon.png",
                with_google_fonts=False,
            )
        )


class OwnFiles(StaticFiles):
    """The operator's own pages: they may use what lies beside them, and nothing from elsewhere."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Give a file, with a policy of its own instead of the API's."""
        response = await super().get_response(path, scope)
        response.headers["Content-Security-Policy"] = _OWN_CSP
        return response


def _with_policy(page: HTMLResponse) -> HTMLResponse:
    page.headers["Content-Security-Policy"] = _DOCS_CSP
    return page
