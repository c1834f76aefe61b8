"""The socket of blobs' user interface: a token, then names and files in turns, over one WebSocket.

The described system's interface sends a text with the token and hears "user is: NAME"; then, for each file, a text with
its name and its bytes as one binary message, and hears what an upload answers, in JSON. Its text is silent about
everything else; docs/surfaces/blobs.md says what we do.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from carryall.http.body import RequestBody, drain
from carryall.http.context import Context
from carryall.http.problems import answer, status_of
from carryall.http.protocols.form import no_name
from carryall.http.sockets import MORE, SIZE
from carryall.http.surfaces.blobs.uploads import DOOR, available_space, refused, stored
from carryall.http.urls import base_url_of, client_of, path_of
from carryall.model.errors import (
    BodyStalled,
    BodyTruncated,
    CarryallError,
    Forbidden,
    Malformed,
    QuotaExceeded,
    TooLarge,
)
from carryall.model.principal import Principal, Scope
from carryall.model.upload import Declared
from carryall.operations.authenticate import Presented, Realm

PATH = "/upload_socket"
_DRAIN_S = 3.0


def add_socket(routes: APIRouter, context: Context) -> None:
    """Add the socket to the blobs surface."""

    @routes.websocket(PATH)
    async def upload_socket(socket: WebSocket) -> None:
        await _Conversation(socket, context).run()


class _Conversation:
    """One socket, from its handshake to its close."""

    def __init__(self, socket: WebSocket, context: Context) -> None:
        self._socket = socket
        self._context = context
        self._patience = context.rules.pace.idle
        self._token = ""

    async def run(self) -> None:
        """Take files until the client goes, or sends what can't be understood."""
        try:
            if not await self._admitted():
                return
            try:
                await self._sign_in()
                while await self._take_file():
                    pass
            except CarryallError as error:
                await self._say(json.dumps(refused(error)))
                await self._socket.close(_close_code(error))
        except WebSocketDisconnect:
            return  # nobody is there to be told

    async def _admitted(self) -> bool:
        """Accept the handshake, unless a page that may not call us has opened the socket (threat 23)."""
        origin = self._socket.headers.get("origin")
        if origin is None or self._is_allowed(origin):
            await self._socket.accept()
            return True
        error = Forbidden("Pages of this origin may not upload here.", code="origin_refused")
        if "websocket.http.response" in self._socket.scope.get("extensions", {}):
            await self._socket.send_denial_response(answer(error, PATH))
        else:
            await self._socket.close()  # a server without the extension then answers 403
        return False

    def _is_allowed(self, origin: str) -> bool:
        allowed = self._context.rules.origins
        if "*" in allowed or origin in allowed:
            return True
        with suppress(Malformed):  # a Host that is none
            site = urlsplit(self._site())
            return origin == f"{site.scheme}://{site.netloc}"
        return False

    def _site(self) -> str:
        rules = self._context.rules
        return base_url_of(self._socket.scope, base_url=rules.base_url, proxies=rules.trusted_proxies)

    async def _sign_in(self) -> None:
        """Read the token, which comes first, and tell whose it is."""
        async with self._patient():
            self._token = await self._text()
        principal = await self._principal()
        await self._say(f"user is: {principal.name}")

    async def _principal(self) -> Principal:
        """Say who sends. This is asked for every file: a socket may outlive its token and its plan."""
        principal = await self._context.authenticate.principal(Presented(bearer=self._token), Realm.BLOBS)
        proxies = self._context.rules.trusted_proxies
        await self._context.admission.request(principal, client_of(self._socket.scope, proxies))
        principal.require(Scope.WRITE)
        return principal

    async def _take_file(self) -> bool:
        """Take one file and answer; say whether another one may follow.

        What is refused doesn't touch what comes after it, when the rest of its bytes is small enough to be skipped.
        """
        name = await self._text()  # a page may stay open for hours
        async with self._patient():
            first = await self._message()
        body = self._body(first)
        began, status, failure = time.monotonic(), 200, None
        try:
            told = await self._stored(name, body)
        except CarryallError as error:
            told, status, failure = refused(error), status_of(error), error
        self._context.meter.moved(body.received, 0)
        self._context.meter.request_ended("WEBSOCKET", PATH, status, time.monotonic() - began)
        if isinstance(failure, BodyTruncated):
            raise WebSocketDisconnect
        await self._say(json.dumps({"filename": name, **told}))
        if failure is None or await self._is_skipped(body):
            return True
        await self._socket.close(_close_code(failure))
        return False

    async def _stored(self, name: str, body: RequestBody) -> dict[str, Any]:
        principal, site = await self._principal(), self._site()
        if not name:
            raise no_name()
        await self._context.admission.body(principal, size=body.declared_size)
        declared = Declared(name=name, door=DOOR, size=body.declared_size, target=self._target)
        file = await self._context.door.accept(principal, declared, body)
        return stored(site + path_of("s", file.short_id), file, await available_space(self._context, principal))

    @property
    def _target(self) -> str | None:
        """Where the handshake wants the files to go; a page can't set headers, so its address says it."""
        asked = self._socket.query_params.get("service")
        return self._socket.headers.get("carryall-target") if asked is None else asked

    async def _is_skipped(self, body: RequestBody) -> bool:
        await drain(body, limit_bytes=self._context.rules.drain_bytes, seconds=_DRAIN_S)
        return body.is_complete

    async def _text(self) -> str:
        text = (await self._message()).get("text")
        if text is None:
            raise _out_of_turn("a text")
        return str(text)

    def _body(self, first: Message) -> RequestBody:
        """Give a file's bytes as the body that a request would have; its first piece is here already."""
        if first.get("bytes") is None:
            raise _out_of_turn("a binary message")
        size = first.get(SIZE) if MORE in first else len(first["bytes"])
        waiting = [first]

        async def receive() -> Message:
            message = waiting.pop() if waiting else await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": message["bytes"], "more_body": message.get(MORE, False)}

        return RequestBody(receive, declared_size=size, pace=self._context.rules.pace)

    async def _message(self) -> Message:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        return message

    async def _say(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                await self._socket.send_text(text)
        except TimeoutError as exc:
            raise WebSocketDisconnect from exc  # it reads nothing, and would read no complaint either

    @asynccontextmanager
    async def _patient(self) -> AsyncIterator[None]:
        """Give up a client that is silent where it is its turn."""
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                yield
        except TimeoutError as exc:
            raise BodyStalled(f"Nothing came for {self._patience.total_seconds():g} seconds.", received=0) from exc


def _out_of_turn(expected: str) -> Malformed:
    return Malformed(
        f"Here {expected} should have come: first the token, then each file's name, as texts, and its bytes as binary.",
        code="message_out_of_turn",
    )


def _close_code(error: CarryallError) -> int:
    """Give the code that tells a program what to do about the end of the socket (RFC 6455 §7.4.1)."""
    if error.stable_code == "message_out_of_turn":
        return 1003  # it can't accept this type of data
    if isinstance(error, TooLarge | QuotaExceeded):
        return 1009  # a message that is too big
    return 1013 if error.retryable else 1008  # try again later; or it violates a policy
