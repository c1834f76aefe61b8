"""Short links: a file's bytes, its page for people, or its record, for whoever has the link or its owner's token."""

import re
from datetime import UTC, datetime, timedelta

from starlette.responses import HTMLResponse, JSONResponse, Response

from carryall.http import openapi
from carryall.http.call import Call
from carryall.http.dispatch import ByteRoute
from carryall.http.download import Delivery, deliver
from carryall.http.surfaces.blobs.page import PAGE_HEADERS, page_of
from carryall.http.surfaces.blobs.records import FILE_EXAMPLE, file_record
from carryall.http.urls import path_of
from carryall.model.errors import Missing
from carryall.model.file import File
from carryall.operations.authenticate import Realm
from carryall.operations.serve import IMAGE_PURPOSE

_SIGNED_FOR = timedelta(minutes=10)  # decision 15: short-lived
_UNIX_TIME = re.compile(r"[0-9]{1,11}")


async def _serve(call: Call) -> Response:
    """Answer GET and HEAD of /s/{short_id}. Addresses that guess are slowed down (threat 12)."""
    admission = call.context.admission
    await admission.guess(call.client)
    output = call.query("output")
    is_about_it = output in ("html", "json")
    try:
        file = await _found(call, takes_signature=not is_about_it)
    except Missing:
        await admission.miss(call.client)
        raise
    if not is_about_it:
        return await deliver(call, file, Delivery(via="short"))
    if output == "html":
        answer: Response = HTMLResponse(page_of(file, _address(call, file)), headers=PAGE_HEADERS)
    else:
        answer = JSONResponse(file_record(file).model_dump(), headers={"Cache-Control": "private, no-cache"})
    if call.method == "HEAD":
        answer.body = b""  # Content-Length stays what GET would answer (RFC 9110 §9.3.2)
    return answer


async def _found(call: Call, *, takes_signature: bool) -> File:
    """Give the file to whom it may be given. Raises Unauthenticated, or Missing for somebody else's, too."""
    serve, short_id = call.context.serve, call.params["short_id"]
    if call.context.rules.are_short_links_open or (takes_signature and _is_signed(call, short_id)):
        return await serve.by_short_id(short_id)
    principal = await call.principal(Realm.BLOBS)
    file = await serve.by_short_id(short_id)
    return await serve.by_id(principal, file.id)


def _address(call: Call, file: File) -> str:
    """Give the path of the page's image. An `<img>` sends no token, so where one is asked for the path is signed."""
    path = path_of("s", file.short_id)
    if call.context.rules.are_short_links_open:
        return path
    expires_at = (call.context.clock.now() + _SIGNED_FOR).replace(microsecond=0)
    signature = call.context.secrets.sign(IMAGE_PURPOSE, file.short_id, expires_at)
    return f"{path}?expires={int(expires_at.timestamp())}&signature={signature}"


def _is_signed(call: Call, short_id: str) -> bool:
    expires, signature = call.query("expires") or "", call.query("signature")
    if signature is None or not _UNIX_TIME.fullmatch(expires):
        return False
    expires_at = datetime.fromtimestamp(int(expires), UTC)
    is_ours = call.context.secrets.verify(IMAGE_PURPOSE, short_id, expires_at, signature)
    return is_ours and expires_at > call.context.clock.now()


_PARAMETERS = [
    openapi.path("short_id", "The `file_id` of an upload's answer."),
    openapi.query(
        "output",
        "`file` and `download`: the bytes. `html`: a page that shows the image. `json`: the record.",
        type="string",
        enum=["file", "download", "html", "json"],
        default="file",
    ),
    openapi.query("expires", "The end of a signed address, in seconds since 1970."),
    openapi.query("signature", "The signature of a signed address, where short links ask for a token."),
]
_GET_DOCS = openapi.operation(
    "Read a file by its short link",
    tag="blobs",
    security="optional",
    description="Open to whoever has the link, unless CARRYALL_SHORT_LINKS=bearer asks for its owner's token.",
    parameters=_PARAMETERS,
    answer={200: openapi.BINARY, 206: openapi.BINARY, 304: None},
    refusals=(401, 403, 404, 412, 416, 429, 503),
)
_GET_DOCS["responses"]["200"]["content"].update(
    {
        "application/json": {"schema": {"type": "object"}, "example": FILE_EXAMPLE},
        "text/html": {"schema": {"type": "string"}},
    }
)
_HEAD_DOCS = openapi.operation(
    "Describe a file by the headers of its short link",
    tag="blobs",
    security="optional",
    parameters=_PARAMETERS,
    answer={200: None, 304: None},
    refusals=(401, 403, 404, 412, 429),
)
SHORT_LINK = ByteRoute(
    methods=("GET", "HEAD"), path="/s/{short_id}", handler=_serve, docs={"get": _GET_DOCS, "head": _HEAD_DOCS}
)
