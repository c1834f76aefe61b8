"""What happened, as it happens: server-sent events that go on where a client left off."""

import asyncio
import json
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from carryall.http import openapi
from carryall.http.api.shapes import EVENT
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute
from carryall.http.download import until_gone
from carryall.http.server import ENDING
from carryall.http.who import presented
from carryall.model.errors import CarryallError, Malformed, Refused
from carryall.model.principal import Principal
from carryall.model.principal import Scope as Permission
from carryall.model.work import Event
from carryall.operations.authenticate import Realm
from carryall.operations.events import Following, Interest

log = structlog.get_logger(__name__)

_BEAT_S = 15.0  # proxies give up silent answers after 60 s, some after 30
_CHECK_S = 14.0  # shorter than a beat: who is silent is looked at with each
_PATIENCE_S = 60.0
_FAREWELL_S = 1.0
_AGAIN_MS = 2000
_MOST_DIGITS = 18
_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep what is small until more comes
)
_LAST_ID = {"type": "string", "pattern": f"^[0-9]{{0,{_MOST_DIGITS}}}$"}


def byte_routes(_context: Context) -> list[ByteRoute]:
    """Give the stream's route. FastAPI would do nothing for it."""
    return [ByteRoute(("GET",), "/v1/events", _follow, docs={"get": _DOCS})]


async def _follow(call: Call) -> Response:
    principal = await call.principal(Realm.NATIVE)
    principal.require(Permission.READ)
    return EventStream(call, _interest(call, principal), after=_after(call))


def _interest(call: Call, principal: Principal) -> Interest:
    """Say whose events are asked for: one's own; the administrator may ask for others'."""
    owner, is_all = call.query("owner"), (call.query("all") or "false").lower()
    if is_all not in ("true", "false"):
        raise Malformed("all is true or false.", code="field_invalid")
    if owner not in (None, principal.id) or is_all == "true":
        principal.require_admin()
    return Interest(principal, owner or (None if is_all == "true" else principal.id))


def _after(call: Call) -> int | None:
    """Give the id of the last event that the client has had; browsers repeat it by themselves."""
    given = (call.headers.get("last-event-id") or call.query("after") or "").strip()
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= _MOST_DIGITS):
        raise Malformed("Last-Event-ID is the id of an event, a whole number.", code="field_invalid")
    return int(given)


class EventStream(Response):
    """Sends events until the client goes, its credential ends, or the server stops."""

    def __init__(self, call: Call, interest: Interest, *, after: int | None) -> None:
        super().__init__()
        self._call = call
        self._interest = interest
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head and the events; the end is an ordinary one, after which clients come back."""
        feed = self._call.context.feed
        async with feed.following(self._interest, after=self._after) as following:
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            ending = scope.get("extensions", {}).get(ENDING) or asyncio.Event()
            await _first_of(until_gone(receive), ending.wait(), self._tell(send, following))
        await _sent(send, "", more_body=False)

    async def _tell(self, send: Send, following: Following) -> None:
        # An id without data is no event, and yet a browser that comes back repeats it: nothing is lost in between.
        is_read = await _sent(send, f"retry: {_AGAIN_MS}\nid: {following.position}\n\n")
        checked = time.monotonic()
        while is_read:
            events = await following.next(seconds=_BEAT_S)
            # Whoever ends a token sees at once that it is over.
            if time.monotonic() - checked >= _CHECK_S or any(event.type == "token.changed" for event in events):
                if not await self._is_welcome():
                    return
                checked = time.monotonic()
            is_read = await _sent(send, "".join(map(_told, events)) or ": still here\n\n")

    async def _is_welcome(self) -> bool:
        """Tell whether the credential still holds."""
        try:
            principal = await self._call.context.authenticate.principal(presented(self._call.headers), Realm.NATIVE)
            principal.require(Permission.READ)
        except Refused:
            return False
        except CarryallError as error:  # who can't be asked now hasn't said no
            log.warning("events.unchecked", reason=error.stable_code)
        return True


async def _first_of(*ways: Coroutine[Any, Any, Any]) -> None:
    """Run all until the first of them ends."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


async def _sent(send: Send, text: str, *, more_body: bool = True) -> bool:
    """Send a piece; False for a client that doesn't read, and would fill our memory."""
    try:
        async with asyncio.timeout(_PATIENCE_S if more_body else _FAREWELL_S):
            await send({"type": "http.response.body", "body": text.encode("ascii"), "more_body": more_body})
    except TimeoutError:
        log.info("events.unread")
        return False
    return True


def told(event: Event) -> dict[str, Any]:
    """Give an event as JSON."""
    return {
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "owner": event.owner,
        "created_at": event.created_at.isoformat(),
        "data": dict(event.data),
    }


def _told(event: Event) -> str:
    return f"id: {event.id}\nevent: {event.type}\ndata: {json.dumps(told(event), separators=(',', ':'))}\n\n"


def _stream(text: str) -> dict[str, Any]:
    content = {"text/event-stream": {"schema": {"type": "string"}, "example": text}}
    return {"description": "Events, as they come.", "content": content}


def _documented(described: dict[str, Any]) -> dict[str, Any]:
    example = f"id: {EVENT['id']}\nevent: {EVENT['type']}\ndata: {json.dumps(EVENT)}\n\n"
    return {**described, "responses": {"200": _stream(example), **described["responses"]}}


def _parameters() -> Sequence[dict[str, Any]]:
    header = {"name": "Last-Event-ID", "in": "header", "required": False, "schema": _LAST_ID}
    return (
        {**header, "description": "The last event that you have had; what came after it is sent first."},
        openapi.query("after", "The same, for clients that can't set headers.", **_LAST_ID),
        openapi.query("owner", "For the administrator: whose."),
        openapi.query("all", "For the administrator: everybody's.", type="boolean"),
    )


_DOCS = _documented(
    openapi.operation(
        "Follow events",
        tag="v1 events",
        security="any",
        description=(
            "Server-sent events, your own from now on: each has `id`, `event` (its type) and `data` (JSON, in "
            "docs/events.md). Comments come every 15 seconds while nothing happens."
        ),
        parameters=_parameters(),
        answer={},
        refusals=(401, 403, 422, 429, 503),
    )
)
