"""Is it alive, is it ready, and what does it count?"""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from carryall.http.context import Context
from carryall.http.openapi import problem
from carryall.http.urls import client_of, is_forwarded
from carryall.http.who import principal_of
from carryall.operations.authenticate import Realm

_LOOPBACK = {"127.0.0.1", "::1"}


def router(context: Context) -> APIRouter:
    """Give the routes that operators and load balancers ask."""
    routes = APIRouter(tags=["server"])

    @routes.head("/health", include_in_schema=False)
    @routes.get("/health", summary="Say that the process answers")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @routes.head("/ready", include_in_schema=False)
    @routes.get(
        "/ready",
        summary="Say whether uploads can be taken now",
        description="`degraded` when they can, but another store fails.",
        responses={503: {"description": "Something isn't ready; the same body says what."}},
    )
    async def ready() -> JSONResponse:
        readiness = await context.health.readiness()
        checks, free = dict(readiness.checks), readiness.free_bytes
        body: dict[str, Any] = {"status": readiness.state, "checks": checks, "free_bytes": free}
        return JSONResponse(body, 200 if readiness.is_ready else 503)

    @routes.get(
        "/metrics",
        summary="Give the metrics for Prometheus",
        description="Open to this machine; others need the administrator's token, unless CARRYALL_METRICS_PUBLIC.",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, 401: problem(401), 403: problem(403)},
    )
    async def metrics(request: Request) -> Response:
        is_local = client_of(request.scope, ()) in _LOOPBACK and not is_forwarded(request.scope)
        if not (context.rules.is_metrics_public or is_local):
            (await principal_of(request, context, Realm.NATIVE)).require_admin()
        page = context.meter.page(await context.health.queue())
        return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes
