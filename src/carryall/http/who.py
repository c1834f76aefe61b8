"""Who asks: credentials out of headers, before any body is read."""

from starlette.datastructures import Headers
from starlette.requests import Request

from carryall.http.context import Context
from carryall.http.headers import bearer
from carryall.http.urls import client_of
from carryall.model.principal import Principal
from carryall.operations.authenticate import Presented, Realm


def presented(headers: Headers) -> Presented:
    """Read the credentials that a request carries. Tokens are taken from their headers alone (threat 9).

    X-API-Key is what relay's sister mod sends (decision 24).
    """
    service = headers.get("x-auth-token")
    if service is None:
        service = headers.get("x-api-key")
    return Presented(service_token=service, bearer=bearer(headers))


def is_service_call(headers: Headers) -> bool:
    """Tell whether a request on a shared path is relay's: by its header alone (decision 1)."""
    return "x-auth-token" in headers or "x-api-key" in headers


async def principal_of(request: Request, context: Context, realm: Realm) -> Principal:
    """Say who asks, and count the request against their rate."""
    principal = await context.authenticate.principal(presented(request.headers), realm)
    await context.admission.request(principal, client_of(request.scope, context.rules.trusted_proxies))
    return principal
