"""Every request, seen from outside: an id, one log line, measurements, safe headers, and an end to every body."""

import asyncio
import re
import secrets
import time
from collections.abc import MutableMapping
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carryall.http.body import RequestBody, drain
from carryall.http.context import Context, HttpRules
from carryall.http.urls import client_of, scheme_of

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_DRAIN_S = 3.0
_ANSWER_FIRST_S = 0.1
_SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_HSTS = "max-age=31536000"


class Observe:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, context: Context, *, logs_access: bool) -> None:
        self._app = app
        self._context = context
        self._logs_access = logs_access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch one request from its head to its answer's end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        watch = Watch(scope, receive, send, self._context.rules)
        began = time.perf_counter()
        structlog.contextvars.bind_contextvars(request_id=watch.request_id)
        try:
            await self._app(scope, watch.receive, watch.send)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
            self._ended(scope, watch, time.perf_counter() - began)

    def _ended(self, scope: Scope, watch: "Watch", seconds: float) -> None:
        route = _route_of(scope)
        self._context.meter.request_ended(scope["method"], route, watch.status, seconds)
        self._context.meter.moved(watch.received, watch.sent)
        if self._logs_access:
            log.info(
                "request",
                method=scope["method"],
                path=_loggable(scope["path"], route),
                status=watch.status,
                bytes_in=watch.received,
                bytes_out=watch.sent,
                ms=round(seconds * 1000, 1),
                client=client_of(scope, self._context.rules.trusted_proxies),
                request_id=watch.request_id,
            )


def _loggable(path: str, route: str) -> str:
    """Give the path, but for links only their pattern: whoever has the link has the file (threat 25)."""
    return route if path.startswith(("/d/", "/s/")) else path


def _route_of(scope: Scope) -> str:
    route: str | None = scope.get("carryall.route")
    if route is not None:
        return route
    return str(getattr(scope.get("route"), "path", "none"))


class Watch:
    """One request's messages as they pass, both ways."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, rules: HttpRules) -> None:
        headers = MutableHeaders(scope=scope)
        given = headers.get("x-request-id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.status = 0
        self.received = 0
        self.sent = 0
        self._is_https = scheme_of(scope, rules.trusted_proxies) == "https"
        self._receive = receive
        self._send = send
        self._drain_bytes = rules.drain_bytes
        self._has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self._waits_for_continue = headers.get("expect", "").strip().lower() == "100-continue"
        self._is_started = False
        self._is_over = not self._has_body

    async def receive(self) -> Message:
        """Pass the next message of the body."""
        self._is_started = True
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self._is_over = self._is_over or not message.get("more_body", False)
        else:
            self._is_over = True
        return message

    async def send(self, message: Message) -> None:
        """Pass the next message of the answer; before the last one, see to what the client still sends."""
        if message["type"] == "http.response.start":
            self._begin(message)
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
            if not message.get("more_body", False) and self._is_still_sending:
                await self._send({**message, "more_body": True})
                await self._drain()
                message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    @property
    def _is_still_sending(self) -> bool:
        return not self._is_over and (self._is_started or not self._waits_for_continue)

    def _begin(self, message: MutableMapping[str, Any]) -> None:
        self.status = message["status"]
        headers = MutableHeaders(raw=list(message.get("headers", [])))
        for name, value in _SAFE_HEADERS.items():
            headers.setdefault(name, value)
        if self._is_https:
            headers.setdefault("Strict-Transport-Security", _HSTS)
        headers["X-Request-Id"] = self.request_id
        if not self._is_over:
            # Whatever else of the body comes is for nobody: this connection carries no further request.
            headers["Connection"] = "close"
        message["headers"] = headers.raw

    async def _drain(self) -> None:
        """Read a bounded rest, so that a client in the middle of its body sees the answer and not a reset."""
        # Time for the answer to be read: a proxy that is still writing at full speed would see only the reset.
        await asyncio.sleep(_ANSWER_FIRST_S)
        rest = RequestBody(self.receive, declared_size=None)
        await drain(rest, limit_bytes=self._drain_bytes, seconds=_DRAIN_S)
