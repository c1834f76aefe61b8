"""Byte routes: a raw ASGI dispatcher in front of FastAPI.

A FastAPI route costs 220-300 µs of CPU, a raw one 65 (docs/adr/0013); and FastAPI parses forms before it asks
who sends them. Each byte route is declared once, with what OpenAPI says of it.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.problems import guard

Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class ByteRoute:
    """One route that carries bytes.

    Attributes:
        methods: upper-case; HEAD is named where it is served.
        path: a Starlette pattern, such as "/s/{short_id}" or "/v1/by-name/{path:path}".
        handler: decides and answers; it may only read `call.body` after it has admitted.
        docs: an OpenAPI operation for each lower-case method that is documented.
    """

    methods: tuple[str, ...]
    path: str
    handler: Handler
    docs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Dispatcher:
    """Serves byte routes itself and passes everything else on."""

    def __init__(self, app: ASGIApp, routes: Iterable[ByteRoute], context: Context) -> None:
        self._app = app
        self._context = context
        self._exact: dict[tuple[str, str], ByteRoute] = {}
        self._patterns: list[tuple[Any, Mapping[str, Any], ByteRoute]] = []
        for route in routes:
            if "{" in route.path:
                pattern, _, convertors = compile_path(route.path)
                # Starlette's own lets a line feed end the path unseen, so that two names would be one.
                self._patterns.append((re.compile(pattern.pattern, re.DOTALL), convertors, route))
            else:
                self._exact.update({(method, route.path): route for method in route.methods})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the route by method and decoded path; authorisation is the route's, never the URL's (threat 10)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = self._find(scope["method"], scope["path"])
        if found is None:
            await self._app(scope, receive, send)
            return
        route, params = found
        scope["path_params"] = params
        scope["carryall.route"] = route.path
        request = Request(scope, receive)
        await guard(scope, receive, send, lambda: route.handler(Call(request, self._context)))

    def _find(self, method: str, path: str) -> tuple[ByteRoute, dict[str, Any]] | None:
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, {}
        for pattern, convertors, route in self._patterns:
            if method in route.methods and (match := pattern.fullmatch(path)):
                values = match.groupdict()
                return route, {name: convertors[name].convert(value) for name, value in values.items()}
        return None
