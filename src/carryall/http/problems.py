"""Errors as answers: the one table of statuses, and bodies whose `detail` is always a string."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from carryall.model import errors

log = structlog.get_logger(__name__)

# The nearest class in an error's ancestry decides; a code may decide before it.
_BY_CLASS: Mapping[type[errors.CarryallError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.TooLarge: 413,
    errors.TypeRefused: 415,
    errors.QuotaExceeded: 413,
    errors.RateLimited: 429,
    errors.PreconditionFailed: 412,
    errors.Refused: 400,
    errors.DigestMismatch: 400,
    errors.Conflict: 409,
    errors.Missing: 404,
    errors.BodyTruncated: 400,
    errors.BodyStalled: 408,
    errors.Interrupted: 409,
    errors.NoRoom: 507,
    errors.Unavailable: 503,
    errors.StoreError: 502,
    errors.CarryallError: 500,
}
_BY_CODE: Mapping[str, int] = {
    "field_missing": 422,
    "field_invalid": 422,
    "fields_invalid": 422,
    "file_missing": 422,
    "idempotency_key_reused": 422,
    "no_files": 406,
    "link_used_up": 410,
    "upload_gone": 410,
    "method_not_allowed": 405,
    "file_unreadable": 503,
    "disk_failed": 503,
    "store_full": 507,
    "store_timeout": 504,
}
_HTTP_CODES: Mapping[int, str] = {404: "route_not_found", 405: "method_not_allowed", 400: "malformed"}
_CHUNKS_PATH = "/upload/"
_MOST_FIELDS = 20  # in one answer: who sends a thousand wrong ones learns enough from twenty


def status_of(error: errors.CarryallError) -> int:
    """Give an error's HTTP status."""
    if error.stable_code in _BY_CODE:
        return _BY_CODE[error.stable_code]
    return next(_BY_CLASS[kind] for kind in type(error).__mro__ if kind in _BY_CLASS)


def answer(error: errors.CarryallError, path: str) -> JSONResponse:
    """Give an error's answer. Paths of the chunks surface also get `status` and `message` (decision 12)."""
    status = status_of(error)
    headers = {}
    if status == 401:
        asks_password = error.stable_code.startswith("link_password")
        headers["WWW-Authenticate"] = 'Basic realm="link", charset="UTF-8"' if asks_password else "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    elif status == 503:
        headers["Retry-After"] = "5"
    body = {"detail": error.message, "code": error.stable_code, **_safe(error.facts)}
    return JSONResponse(_framed(body, path), status, headers)


def _safe(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in ("detail", "code", "status", "message")}


def _framed(body: dict[str, Any], path: str) -> dict[str, Any]:
    return {"status": "error", "message": body["detail"], **body} if path.startswith(_CHUNKS_PATH) else body


def unexpected(path: str) -> JSONResponse:
    """Give the answer to a fault of ours. Nothing of the inside is in it; the log has the rest."""
    body = {"detail": "The server made a mistake; its log says more.", "code": "internal"}
    return JSONResponse(_framed(body, path), 500)


async def guard(scope: Scope, receive: Receive, send: Send, work: Callable[[], Awaitable[Response]]) -> None:
    """Run a byte route and send its answer; turn what either raises into an answer, while none has begun.

    An answer that breaks half-way can only be cut: the client sees fewer bytes than its head announced.
    """
    has_begun = False

    async def watched(message: Message) -> None:
        nonlocal has_begun
        has_begun = True
        await send(message)

    try:
        response = await work()
        await response(scope, receive, watched)
        return
    except errors.CarryallError as error:
        problem = answer(error, scope["path"])
        if has_begun:
            log.error("answer.cut", reason=error.stable_code)
            raise
    except Exception:
        log.exception("request.crashed", method=scope["method"])
        problem = unexpected(scope["path"])
        if has_begun:
            raise
    await problem(scope, receive, send)


async def on_error(request: Request, error: Any) -> Response:
    """Answer our errors from FastAPI's routes."""
    return answer(error, request.scope["path"])


async def on_http_error(request: Request, error: Any) -> Response:
    """Answer the framework's own errors (404, 405, a body that isn't JSON)."""
    code = _HTTP_CODES.get(error.status_code, "http_error")
    body = {"detail": str(error.detail), "code": code}
    return JSONResponse(_framed(body, request.scope["path"]), error.status_code, error.headers)


async def on_invalid(request: Request, error: Any) -> Response:
    """Answer fields that aren't what the route takes: `detail` is a sentence, `errors` the first of them."""
    found = [
        {"field": ".".join(str(part) for part in one["loc"]), "message": str(one["msg"]), "type": str(one["type"])}
        for one in error.errors()[:_MOST_FIELDS]
    ]
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in found[:5]) or "The request is not valid."
    body = {"detail": detail, "code": "fields_invalid", "errors": found}
    return JSONResponse(_framed(body, request.scope["path"]), 422)


async def on_crash(request: Request, error: Exception) -> Response:
    """Answer a fault of ours from FastAPI's routes."""
    log.error("request.crashed", method=request.method, exc_info=error)
    return unexpected(request.scope["path"])
