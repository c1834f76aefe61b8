"""FastAPI routes that know who asks before they read a byte, and read no more than they should."""

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from carryall.http.body import body_of, read_all
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.errands import Tell, once
from carryall.http.who import principal_of
from carryall.model.errors import Malformed
from carryall.model.principal import Principal
from carryall.operations.authenticate import Realm

# Every name that a route doesn't know becomes a line of its answer: 60,000 of them held the server up for a second.
_MOST_NAMES = 1000


def guarded(context: Context, realm: Realm, *, is_repeatable: bool = False, made: Tell | None = None) -> type[APIRoute]:
    """Give the route class for a router whose routes ask who is there.

    FastAPI parses a JSON body before it runs dependencies, so a dependency is too late for this.

    Args:
        is_repeatable: a POST with an `Idempotency-Key` is done once (http/errands.py). Its answer is kept as it is,
            so it may hold no secret.
        made: answers for uploads that an attempt before opened; None where none are.
    """

    class Guarded(APIRoute):
        """Authenticates, then reads the body within its bounds, then lets FastAPI at it."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """Wrap FastAPI's handler."""
            inner = super().get_route_handler()

            async def handle(request: Request) -> Response:
                principal = await principal_of(request, context, realm)
                request.state.principal = principal
                read = await with_body(request, context)
                if not is_repeatable or request.method != "POST":
                    return await inner(read)
                call = Call(request, context)
                return await once(call, principal, lambda *_: inner(read), made, body=await read.body())

            return handle

    return Guarded


async def with_body(request: Request, context: Context) -> Request:
    """Give the request with its body read, bounded and checked. Raises TooLarge or Malformed (threat 28)."""
    body = body_of(request.headers, request.receive, context.rules.pace)
    data = await read_all(body, context.rules.max_json_bytes)
    if data:
        check_json(data)

    async def receive() -> Message:
        return {"type": "http.request", "body": data, "more_body": False}

    return Request(request.scope, receive)


def check_json(data: bytes) -> Any:
    """Parse JSON that everybody understands alike. Raises Malformed for the rest.

    Refused: a name twice in one object, NaN and infinities, text that isn't Unicode, and nesting or names past all
    reason.
    """
    try:
        value = json.loads(data, parse_constant=_no_constant, object_pairs_hook=_no_doubles)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Malformed("The body is not valid JSON.", code="json_malformed") from error
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    if len(pairs) > _MOST_NAMES:
        raise Malformed(f"An object of the body has more than {_MOST_NAMES} names.", code="json_malformed")
    return found


def _caller(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


Caller = Annotated[Principal, Depends(_caller)]
"""Who asks, for the routes of a guarded router."""
