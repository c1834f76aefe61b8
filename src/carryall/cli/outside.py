"""What `carryall doctor --url` looks at: whether uploads and downloads work from outside, through what is between."""

import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping

from carryall.cli.probe import Line, Place, Reply, Silence
from carryall.operations.doctor import Finding

_PATIENCE_S = 10.0
_EARLY_S = 4.0  # for an answer that needs none of the body
_SIZES = ((1 << 20, "1 MiB"), (100 << 20, "100 MiB"), (10 << 30, "10 GiB"))
_NOBODY = {"Authorization": "Bearer carryall-doctor-is-nobody"}
_BYTES = secrets.token_bytes(3000)
_Fields = Mapping[str, str]


def examine(url: str, token: str | None) -> Iterator[Finding]:
    """Give every finding as it is made. Without a token nothing is uploaded; files that are made are deleted.

    Raises CarryallError for an address that is none.
    """
    place = Place.of(url)
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "ready": lambda: _ready(place),
        "options": lambda: _discovery(place),
        "buffering": lambda: _early_refusal(place),
        "size": lambda: _sizes(place),
    }
    if token is None:
        yield _note("uploads", "Not looked at. With --token (of a user, or - to read it) a small file is tried, too.")
    else:
        who = {"Authorization": f"Bearer {token}"}
        looks |= {"uploads": lambda: _a_file(place, who), "104": lambda: _interim(place, who)}
    try:
        yield from _reached(place)
    except Silence as silence:
        yield _wrong("address", f"{silence.message} Is the server running, the name right, the port open?")
        return
    for about, look in looks.items():
        try:
            yield from look()
        except Silence as silence:
            yield _wrong(about, silence.message)


def _reached(place: Place) -> Iterator[Finding]:
    reply = _ask(place, "GET", "/health")
    if reply.status != 200 or not reply.is_ours:
        text = f"{place.path}/health answers {reply.status}, and not as this server does: something else is there."
        yield _wrong("address", text)
    also = ", and offers HTTP/2" if _offers_h2(place) else ""
    via = f" through {reply.headers['server']}" if "server" in reply.headers else ""
    yield _note("address", f"It answers by {reply.version}{via}{also}.")


def _ready(place: Place) -> Iterator[Finding]:
    reply = _ask(place, "GET", "/ready")
    if reply.status != 200:
        yield _wrong("ready", f"/ready answers {reply.status}: {reply.body[:200].decode(errors='replace')}")


def _discovery(place: Place) -> Iterator[Finding]:
    for path, header in (("/files/", "Tus-Extension"), ("/v1/files", "Upload-Limit")):
        reply = _ask(place, "OPTIONS", path)
        if header.lower() not in reply.headers:
            text = f"OPTIONS {path} is answered {reply.status} without {header}. Let the proxy pass OPTIONS on."
            yield _wrong("options", text)


def _early_refusal(place: Place) -> Iterator[Finding]:
    """Refuse a body whose end never comes: only where nobody waits for it does the refusal come."""
    with Line(place) as line:
        line.send("POST", "/v1/files", {**_NOBODY, "Content-Length": str(1 << 20)}, b"x" * 1000)
        try:
            reply = line.reply(within_s=_EARLY_S)
        except Silence:
            text = "A proxy keeps bodies back until their last byte has come. Switch that off (nginx: "
            text += "proxy_request_buffering off), or a cut upload keeps nothing and a refused one is sent whole."
            yield _note("buffering", text)
            return
    if reply.is_ours:
        yield _note("buffering", "Bytes pass on as they come.")


def _sizes(place: Place) -> Iterator[Finding]:
    """Announce large bodies as nobody: this server refuses the sender, a proxy's limit the size."""
    for size, name in _SIZES:
        with Line(place) as line:
            line.send("POST", "/v1/files", {**_NOBODY, "Content-Length": str(size + 1)})
            try:
                reply = line.reply(within_s=_EARLY_S)
            except Silence:
                return  # it waits for the bytes; there is no telling
        if reply.status == 413 and not reply.is_ours:
            text = f"A proxy refuses bodies of more than {name}, or less. This server has limits of its own: take the"
            yield _wrong("size", f"{text} proxy's away (nginx: client_max_body_size 0).")
            return


def _a_file(place: Place, who: _Fields) -> Iterator[Finding]:
    """Upload a file in two requests, read a range of it, and delete it."""
    begun = _ask(place, "POST", "/v1/uploads", {**who, "Upload-Complete": "?0", "Upload-Length": str(len(_BYTES))})
    if begun.status != 201:
        yield _wrong("uploads", f"Beginning one is answered {begun.status}: {_detail(begun)}")
        return
    location = begun.headers.get("location", "")
    yield from _a_link(place, location)
    path = f"/v1/uploads/{location.rpartition('/')[2]}"
    told = _ask(place, "HEAD", path, who)
    if told.headers.get("upload-offset") != "0" or "upload-limit" not in told.headers:
        yield _wrong("uploads", f"HEAD is answered {told.status} without Upload-Offset and Upload-Limit.")
    append = {"Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?1"}
    stored = _ask(place, "PATCH", path, {**who, **append}, _BYTES)
    if stored.status != 201:
        yield _wrong("uploads", f"PATCH is answered {stored.status}: {_detail(stored)} Let the proxy pass it on.")
        _ask(place, "DELETE", path, who)
        return
    file = json.loads(stored.body)
    yield from _a_link(place, file["url"])
    yield from _a_download(place, who, f"/v1/files/{file['id']}")


def _a_link(place: Place, url: str) -> Iterator[Finding]:
    if url and (Place.of(url).name, Place.of(url).scheme) != (place.name, place.scheme):
        text = (
            f"They lead to {url}, and not to the address that was asked. Set CARRYALL_BASE_URL, or let the proxy say "
        )
        yield _wrong("links", f"{text}X-Forwarded-Proto and X-Forwarded-Host and name it in CARRYALL_TRUSTED_PROXIES.")


def _a_download(place: Place, who: _Fields, path: str) -> Iterator[Finding]:
    part = _ask(place, "GET", f"{path}/content", {**who, "Range": "bytes=1000-1999"})
    if (part.status, part.body) != (206, _BYTES[1000:2000]):
        yield _wrong("downloads", f"A range is answered {part.status} with {len(part.body)} bytes, not 206 with 1000.")
    head = _ask(place, "HEAD", f"{path}/content", who)
    if (head.status, head.headers.get("content-length")) != (200, str(len(_BYTES))) or "etag" not in head.headers:
        yield _wrong("downloads", f"HEAD is answered {head.status} without the file's Content-Length and ETag.")
    gone = _ask(place, "DELETE", path, who)
    if gone.status != 204:
        yield _wrong("uploads", f"DELETE is answered {gone.status}: {_detail(gone)} The file is still there.")


def _interim(place: Place, who: _Fields) -> Iterator[Finding]:
    """Upload whole files as a client that knows 104, and see whether the answers keep their order."""
    announced = []
    for expect in ({}, {"Expect": "100-continue"}):
        began = time.monotonic()
        with Line(place) as line:
            flags = {"Upload-Draft-Interop-Version": "8", "Upload-Complete": "?1"}
            line.send("POST", "/v1/files", {**who, **flags, **expect, "Content-Length": str(len(_BYTES))})
            line.go_on(_BYTES)
            reply = line.reply(within_s=_PATIENCE_S)
            took_s = time.monotonic() - began
            line.send("GET", "/health", {})
            after = line.reply(within_s=_PATIENCE_S)
        announced.append(104 in reply.interim)
        if reply.status == 201:
            _ask(place, "DELETE", f"/v1/files/{json.loads(reply.body)['id']}", who)
        is_around = "server" in after.headers and "server" not in reply.headers
        if announced[-1] and (reply.status != 201 or after.status != 200 or is_around or took_s > _EARLY_S):
            text = "The proxy takes it for the answer, and what follows gets mixed up. Set CARRYALL_INTERIM_104=auto, "
            yield _wrong("104", f"{text}name the proxy in CARRYALL_TRUSTED_PROXIES, and look again.")
            return
    if all(announced):
        yield _note("104", "It arrives: whole files in one request can be resumed, too.")
    else:
        text = "It doesn't come here, as it should be behind a proxy that doesn't know it: clients that want to resume "
        yield _note("104", f"{text}begin with an empty part.")


def _ask(place: Place, method: str, path: str, headers: _Fields | None = None, body: bytes = b"") -> Reply:
    with Line(place) as line:
        line.send(method, path, {**(headers or {}), "Connection": "close"}, body)
        return line.reply(within_s=_PATIENCE_S, to=method)


def _offers_h2(place: Place) -> bool:
    if place.scheme != "https":
        return False
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Line(place, context) as line:
        return line.spoken == "h2"


def _detail(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{reply.body[:100].decode(errors='replace')}."


def _wrong(about: str, text: str) -> Finding:
    return Finding(is_wrong=True, about=about, text=text)


def _note(about: str, text: str) -> Finding:
    return Finding(is_wrong=False, about=about, text=text)
