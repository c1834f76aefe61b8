"""One request, as a byte route sees it."""

from functools import cached_property
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request

from carryall.http.body import RequestBody, body_of
from carryall.http.context import Context
from carryall.http.urls import base_url_of, client_of, path_of
from carryall.http.who import principal_of
from carryall.model.principal import Principal
from carryall.operations.authenticate import Realm


class Call:
    """A request with the verbs at hand. Nothing is read from the client before `body` is iterated."""

    def __init__(self, request: Request, context: Context) -> None:
        self.request = request
        self.context = context

    @property
    def headers(self) -> Headers:
        """The request's headers."""
        return self.request.headers

    @property
    def method(self) -> str:
        """The request's method."""
        return self.request.method

    @property
    def params(self) -> dict[str, Any]:
        """What the route's pattern found in the path."""
        return self.request.path_params

    def query(self, name: str) -> str | None:
        """Give a query parameter's last value."""
        return self.request.query_params.get(name)

    @property
    def target(self) -> str | None:
        """Where the request wants its files to go (`model.target`): `?service=`, else the header Carryall-Target."""
        asked = self.query("service")
        return self.headers.get("carryall-target") if asked is None else asked

    @cached_property
    def client(self) -> str:
        """The client's address."""
        return client_of(self.request.scope, self.context.rules.trusted_proxies)

    @cached_property
    def body(self) -> RequestBody:
        """The body. Raises Malformed or TypeRefused for framing or a coding that isn't taken."""
        return body_of(self.headers, self.request.receive, self.context.rules.pace)

    @property
    def errand(self) -> str | None:
        """The attempt at a repeated request that this call is (http/errands.py); its uploads say so."""
        found: str | None = self.request.scope.get("carryall.errand")
        return found

    @errand.setter
    def errand(self, errand_id: str | None) -> None:
        self.request.scope["carryall.errand"] = errand_id

    async def principal(self, realm: Realm) -> Principal:
        """Say who asks, and count the request against their rate."""
        return await principal_of(self.request, self.context, realm)

    def url(self, *parts: str) -> str:
        """Give the public URL of a path, each part percent-encoded whole."""
        rules = self.context.rules
        base = base_url_of(self.request.scope, base_url=rules.base_url, proxies=rules.trusted_proxies)
        return base + path_of(*parts)
