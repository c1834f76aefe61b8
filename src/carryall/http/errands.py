"""`Idempotency-Key`: a creating request that is repeated makes nothing new, and gets the first answer.

Source: draft-ietf-httpapi-idempotency-key-header-07. docs/protocols.md has the rules, K-….
"""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Sequence

from starlette.datastructures import Headers
from starlette.responses import Response

from carryall.http.call import Call
from carryall.http.headers import joined, media_type_of, parse_parameters
from carryall.model.errors import Malformed
from carryall.model.file import File
from carryall.model.principal import Kind, Principal
from carryall.model.upload import Upload
from carryall.operations.admit import neighbourhood
from carryall.operations.errands import Asked, Attempt

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_MOST_CHARACTERS = 255
# RFC 9651 §3.3.3, with the parameters that an Item may have; and, as most clients send it, the bare value.
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])+)"(?: *;.*)?', re.ASCII)
_BARE = re.compile(r"[!#-+\--~]+", re.ASCII)
_ESCAPED = re.compile(r'\\(["\\])')
# What says of a request what it is to make. A form's boundary is drawn anew each time and isn't part of it.
_TELLING = (
    "carryall-target",
    "content-digest",
    "content-disposition",
    "content-md5",
    "digest",
    "if-match",
    "if-none-match",
    "repr-digest",
    "upload-checksum",
    "upload-complete",
    "upload-concat",
    "upload-defer-length",
    "upload-incomplete",
    "upload-length",
    "upload-metadata",
)

Make = Callable[[Call, Principal], Awaitable[Response]]
Tell = Callable[[Call, Principal, Sequence[Upload]], Awaitable[Response]]


async def once(call: Call, principal: Principal, make: Make, tell: Tell | None, *, body: bytes = b"") -> Response:
    """Answer a creating request, however often it comes: `make` runs once for each key.

    Only an answer that something was made is kept; what failed is tried again when it is repeated.

    Args:
        tell: answers for the uploads that an attempt left which died before its answer was kept; None where `make`
            opens none.
        body: what was read of a small body already, to be part of what the request is.
    """
    key = _key(call.headers)
    if key is None:
        return await make(call, principal)

    async def work(attempt: Attempt) -> Response:
        call.errand = attempt.errand_id
        return await (tell(call, principal, attempt.left) if tell and attempt.left else make(call, principal))

    return await _kept(call, principal, Asked(_owner(call, principal), key, _fingerprint(call, principal, body)), work)


async def end_of(call: Call, principal: Principal, upload: Upload, work: Callable[[], Awaitable[Response]]) -> Response:
    """Answer the end of an upload, the same to whoever asks again."""
    asked = Asked(principal.id, f"\n{upload.id}", upload.id)  # no client's key has a line feed
    return await _kept(call, principal, asked, lambda _: work())


async def _kept(
    call: Call, principal: Principal, asked: Asked, work: Callable[[Attempt], Awaitable[Response]]
) -> Response:
    async with call.context.errands.attempt(principal, asked) as attempt:
        if attempt.answer is not None:
            return _read(attempt.answer)
        response = await work(attempt)
        if attempt.errand_id is not None and response.status_code < 300 and response.status_code != 202:
            await call.context.errands.answered(attempt.errand_id, _written(response))
    return response


async def files_of(call: Call, principal: Principal, uploads: Sequence[Upload]) -> list[File]:
    """Give the files that uploads became."""
    return [await call.context.door.complete(principal, upload.id) for upload in uploads]


def _key(headers: Headers) -> str | None:
    given = headers.getlist(HEADER)
    if not given:
        return None
    text = given[0].strip(" \t")
    found = _STRING.fullmatch(text)
    key = _ESCAPED.sub(r"\1", found[1]) if found else text
    if len(given) > 1 or len(key) > _MOST_CHARACTERS or not (found or _BARE.fullmatch(text)):
        raise Malformed(
            f'{HEADER} is one string, such as "8e03978e-40d5-43dd-bc93-6894a57f9324", '
            f"of at most {_MOST_CHARACTERS} visible characters.",
            code="idempotency_key_invalid",
        )
    return key


def _owner(call: Call, principal: Principal) -> str:
    """Say whose key it is. Visitors are told apart by their address: they are all one principal."""
    if principal.kind is not Kind.ANONYMOUS:
        return principal.id
    return f"{principal.id}:{neighbourhood(call.client)}"


def _fingerprint(call: Call, principal: Principal, body: bytes) -> str:
    """Tell the request from others, without its bytes: where it goes, who may see what it makes, what it announces."""
    told = {name: joined(call.headers, name) for name in _TELLING}
    given = [
        call.method,
        call.request.scope["path"],
        call.request.scope.get("query_string", b"").decode("latin-1"),
        principal.external_file_id,
        principal.file_id,
        media_type_of(call.headers),
        _size(call),
        told,
        hashlib.sha256(body).hexdigest(),
    ]
    return hashlib.sha256(json.dumps(given).encode()).hexdigest()


def _size(call: Call) -> int | None:
    """Give the announced size, less a form's boundary in its two places: browsers draw boundaries of any length."""
    size = call.body.declared_size
    parameters = parse_parameters(call.headers.get("content-type", ""))
    boundary = parameters[1].get("boundary", "") if parameters else ""
    return None if size is None else size - 2 * len(boundary)


def _written(response: Response) -> str:
    headers = [[name, value] for name, value in response.headers.items() if name != "content-length"]
    return json.dumps({"status": response.status_code, "headers": headers, "body": bytes(response.body).decode()})


def _read(answer: str) -> Response:
    kept = json.loads(answer)
    headers = dict(kept["headers"])
    return Response(kept["body"] or None, kept["status"], {**headers, REPLAYED: "true"})
