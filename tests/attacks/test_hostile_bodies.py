"""Bodies made to hurt the one who reads them: forms, JSON, codings (threats 17, 19 and 28)."""

import gzip
import json
import re
import secrets
import socket
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

B = b"attack-boundary"
TYPE = "multipart/form-data; boundary=attack-boundary"
MIB = 1 << 20
# The doors that take forms: path, the field that is a file, and whose credentials they take.
FORMS = [
    ("/upload", "file", "service"),
    ("/upload", "file", "user"),
    ("/upload_batch", "files", "user"),
    ("/api/upload", "files", "nobody"),
    ("/v1/files", "file", "user"),
    ("/upload/chunk", "chunk", "subject"),
]
IDS = ["relay", "blobs", "batch", "gallery", "v1", "chunk"]


def who(target: Any, doors: Any, kind: str) -> dict[str, str]:
    return {"service": target.service, "user": doors.user.who, "nobody": {}, "subject": doors.subject.who}[kind]


def part(field: str, content: bytes = b"x", extra: bytes = b"") -> bytes:
    """Write one part with a file."""
    head = b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n' % (B, field.encode())
    return head + extra + b"\r\n" + content + b"\r\n"


END = b"--" + B + b"--\r\n"

# Bodies that made others slow: (Content-Type, body for a field).
HOSTILE: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "many parts": (TYPE, lambda field: part(field) * 20_000 + END),
    "many fields": (
        TYPE,
        lambda _: b'--%s\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' % B * 30_000 + END,
    ),
    "one large header": (TYPE, lambda field: part(field, extra=b"X-A: " + b"a" * 4 * MIB + b"\r\n") + END),
    "many headers": (TYPE, lambda field: part(field, extra=b"X-A: a\r\n" * 200_000) + END),
    "line breaks first": (TYPE, lambda field: b"\r\n" * MIB + part(field) + END),
    "a long preamble": (TYPE, lambda field: b"p" * 4 * MIB + b"\r\n" + part(field) + END),
    "a long epilogue": (TYPE, lambda field: part(field) + END + b"\r\n" * 2 * MIB),
    "nearly boundaries": (TYPE, lambda field: part(field, (b"\r\n--" + B[:-1]) * 200_000) + END),
    "returns only": (TYPE, lambda field: part(field, b"\r" * 4 * MIB) + END),
    "dashes only": (TYPE, lambda field: part(field, b"\r\n--" * MIB) + END),
    "a large field": (
        TYPE,
        lambda _: b'--%s\r\nContent-Disposition: form-data; name="a"\r\n\r\n%s\r\n' % (B, b"v" * 8 * MIB) + END,
    ),
    "semicolons": (
        TYPE,
        lambda _: b"--%s\r\nContent-Disposition: form-data%s\r\n\r\n1\r\n" % (B, b";" * 100_000) + END,
    ),
    "quotes": (
        TYPE,
        lambda _: b'--%s\r\nContent-Disposition: form-data; name="%s\r\n\r\n1\r\n' % (B, b'\\"' * 100_000) + END,
    ),
    "a folded header": (TYPE, lambda field: part(field, extra=b"X-A: a\r\n" + b" b\r\n" * 100_000) + END),
    "type with spaces": (
        "multipart/form-data; " + "a=b; " * 1200 + "boundary=attack-boundary",
        lambda field: part(field) + END,
    ),
    "ReDoS in the type": ("multipart/form-data; !=" + '"' + "\\" * 7000, lambda field: part(field) + END),
    "many boundaries": (TYPE, lambda _: (b"--" + B + b"\r\n") * 200_000 + END),
    "nested": (TYPE, lambda field: part(field, extra=b"Content-Type: multipart/mixed; boundary=x\r\n") * 40 + END),
}


# The forms of blobs are read as relay's and the gallery's are; a thousand small files take their time once.
@pytest.mark.parametrize("form", [FORMS[0], *FORMS[3:]], ids=[IDS[0], *IDS[3:]])
@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_forms_hold_nobody_up(target: Any, doors: Any, body: str, form: tuple[str, str, str]) -> None:
    """17: a form made to be slow to read is answered, below 500 and within 20 s, while /health answers within 1 s."""
    (path, field, kind), (media_type, make) = form, HOSTILE[body]
    headers = {**who(target, doors, kind), "Content-Type": media_type}
    began = time.monotonic()
    with target.staying_awake():
        answer = target.ask("POST", path, headers, make(field))

    assert 200 <= answer.status < 500
    assert time.monotonic() - began < 20
    if body in ("many parts", "many fields", "one large header", "many headers", "a folded header"):
        assert 400 <= answer.status < 500


MALFORMED = {
    "nothing": (TYPE, b""),
    "only the end": (TYPE, END),
    "another boundary": (
        TYPE,
        b'--other\r\nContent-Disposition: form-data; name="FIELD"; filename="a.png"\r\n\r\nx\r\n--other--\r\n',
    ),
    "no boundary named": ("multipart/form-data", part("FIELD") + END),
    "an empty boundary": ("multipart/form-data; boundary=", part("FIELD") + END),
    "an empty quoted boundary": ('multipart/form-data; boundary=""', part("FIELD") + END),
    "a long boundary": (
        "multipart/form-data; boundary=" + "b" * 300,
        part("FIELD").replace(B, b"b" * 300) + b"--" + b"b" * 300 + b"--\r\n",
    ),
    "a boundary with a line break": ("multipart/form-data; boundary=a%0d%0ab", part("FIELD") + END),
    "a boundary of others": ("multipart/form-data; boundary=\xe9\xff", part("FIELD") + END),
    "no disposition": (TYPE, b"--%s\r\nContent-Type: image/png\r\n\r\nx\r\n" % B + END),
    "an empty disposition": (TYPE, b"--%s\r\nContent-Disposition:\r\n\r\nx\r\n" % B + END),
    "no name": (TYPE, b'--%s\r\nContent-Disposition: form-data; filename="a.png"\r\n\r\nx\r\n' % B + END),
    "another name": (TYPE, part("nobody-asked-for-this") + END),
    "no form-data": (
        TYPE,
        b'--%s\r\nContent-Disposition: attachment; name="FIELD"; filename="a.png"\r\n\r\nx\r\n' % B + END,
    ),
    "an open quote": (TYPE, b'--%s\r\nContent-Disposition: form-data; name="FIELD; filename=a\r\n\r\nx\r\n' % B + END),
    "no colon": (TYPE, b'--%s\r\nContent-Disposition form-data; name="FIELD"\r\n\r\nx\r\n' % B + END),
    "a header that doesn't end": (TYPE, b'--%s\r\nContent-Disposition: form-data; name="FIELD"; filename="a.png"' % B),
    "a part that doesn't end": (TYPE, part("FIELD")),
    "cut in the end": (TYPE, part("FIELD") + END[:-4]),
    "no blank line": (
        TYPE,
        b'--%s\r\nContent-Disposition: form-data; name="FIELD"; filename="a.png"\r\nx\r\n' % B + END,
    ),
    "bare line feeds": (TYPE, (part("FIELD") + END).replace(b"\r\n", b"\n")),
    "bare returns": (TYPE, (part("FIELD") + END).replace(b"\r\n", b"\r")),
    "JSON": (TYPE, b'{"file": "x"}'),
    "binary": (TYPE, bytes(range(256)) * 16),
    "the type of a form, urlencoded": (
        "application/x-www-form-urlencoded",
        b"file=x&upload_session_id=1&chunk_index=0",
    ),
    "multipart of another kind": ("multipart/mixed; boundary=attack-boundary", part("FIELD") + END),
    "a NUL in the header": (
        TYPE,
        part("FIELD", extra=b"X-A: a\x00b\r\n").replace(b"form-data", b"form\x00-data") + END,
    ),
    "two dispositions": (
        TYPE,
        part("FIELD", extra=b'Content-Disposition: form-data; name="other"; filename="b.png"\r\n') + END,
    ),
    "base64 inside": (TYPE, part("FIELD", b"eA==", b"Content-Transfer-Encoding: base64\r\n") + END),
    "a coding inside": (TYPE, part("FIELD", gzip.compress(b"x"), b"Content-Encoding: gzip\r\n") + END),
}
# What a lenient reader may take as it stands: the bytes are then stored as they were sent.
LENIENT = {
    "two dispositions",
    "base64 inside",
    "a coding inside",
    "bare line feeds",
    "multipart of another kind",
    "no form-data",
    "an open quote",
}


@pytest.mark.parametrize(("path", "field", "kind"), FORMS, ids=IDS)
def test_malformed_forms_are_refused(target: Any, doors: Any, path: str, field: str, kind: str) -> None:
    """17: a form that isn't one is 4xx with a text for people, and stores nothing."""
    wrong, kept = {}, target.kept()
    for name, (media_type, body) in MALFORMED.items():
        headers = {**who(target, doors, kind), "Content-Type": media_type.encode("latin-1")}
        if kind == "service" and not media_type.startswith("multipart/form-data"):
            continue  # relay takes any other body as the file itself
        if path == "/v1/files" and not media_type.startswith("multipart/form-data"):
            continue  # so does the native API
        answer = target.ask("POST", path, list(headers.items()), body.replace(b"FIELD", field.encode()))
        is_refused = 400 <= answer.status < 500 and isinstance(answer.json()["detail"], str)
        if not (is_refused or (name in LENIENT and answer.status in (200, 201))):
            wrong[name] = (answer.status, answer.text[:80])
        if is_refused and kept != target.kept():
            wrong[name] = (answer.status, "left bytes behind")
        kept = target.kept()

    assert {} == wrong


@pytest.mark.parametrize(("path", "field", "kind"), FORMS, ids=IDS)
def test_forms_that_drip(target: Any, doors: Any, path: str, field: str, kind: str) -> None:
    """17: a form that comes byte by byte, every boundary cut in two, is read as the same form."""
    image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\r\n--attack-boundar\r\n--" + secrets.token_bytes(20)
    fields = b""
    if kind == "subject":
        session = doors.begin(9_100_000, "a").json()["data"]["upload_session_id"].encode()
        fields = b'--%s\r\nContent-Disposition: form-data; name="upload_session_id"\r\n\r\n%s\r\n' % (B, session)
        fields += b'--%s\r\nContent-Disposition: form-data; name="chunk_index"\r\n\r\n0\r\n' % B
    body = fields + part(field, image) + END
    with target.connect() as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(
            target.head(
                "POST", path, {**who(target, doors, kind), "Content-Type": TYPE, "Content-Length": str(len(body))}
            )
        )
        for byte in body:
            peer.sendall(bytes([byte]))
        answer = target.finish(peer)

    assert answer.status in (200, 201), answer.text


# --- codings (19) ---------------------------------------------------------------------------------------------------


ZEROS_GZIP, ZEROS_ZLIB = (zlib.compress(bytes(50 * MIB), wbits=form) for form in (31, 15))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "compress", "identity", "gzip, gzip", "x-nobody"])
def test_coded_bodies_are_never_inflated(target: Any, doors: Any, coding: str) -> None:
    """19: a body with Content-Encoding is stored as it was sent, or refused with 415; never unpacked."""
    sent = ZEROS_GZIP if "gzip" in coding else ZEROS_ZLIB
    headers = {**doors.user.who, "Content-Encoding": coding}
    headers_service = {**target.service, "Content-Encoding": coding}
    form_headers, form = target.form(('name="file"; filename="a.bin"', sent))
    answers = [
        target.ask("POST", "/v1/files?filename=a", headers, sent),
        target.ask("PUT", "/v1/by-name/coded", headers, sent),
        target.ask("POST", "/upload?fileName=a", headers_service, sent),
        target.ask("POST", "/upload", {**headers, **form_headers}, gzip.compress(form)),
        target.ask("POST", "/v1/files", {**headers, **form_headers}, gzip.compress(form)),
        target.ask("POST", "/api/upload", {"Content-Encoding": coding, **form_headers}, gzip.compress(form)),
        target.send_json(
            "POST", "/upload/init", {**doors.subject.who, "Content-Encoding": coding}, gzip.compress(b"{}")
        ),
        target.send_json("POST", "/v1/tokens", headers, gzip.compress(b'{"label": "a"}')),
    ]

    assert [] == [answer.status for answer in answers if answer.status not in (200, 201, 400, 415, 422)]
    for answer in answers[:3]:
        assert answer.status == 415 or len(sent) == (answer.json().get("size"))
    assert {400, 415, 422} >= {answer.status for answer in answers[3:]}


@pytest.mark.parametrize(
    "coding", ["gzip, chunked", "chunked, gzip", "gzip", "identity", "chunked, chunked", "xchunked", "deflate"]
)
def test_transfer_codings(target: Any, doors: Any, coding: str) -> None:
    """19, 21: a transfer coding other than `chunked` is refused, and its bytes are never unpacked."""
    packed = gzip.compress(bytes(MIB))
    head = target.head("POST", "/v1/files?filename=a", {**doors.user.who, "Transfer-Encoding": coding})
    answer = target.exchange(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed), wait_s=5)

    assert answer.status in (0, 201, 400, 411, 415, 501)
    if answer.status == 201:
        assert answer.json()["size"] <= len(packed) + 32


@pytest.mark.parametrize("accepted", ["gzip", "br", "deflate, gzip;q=1.0, *;q=0.5", "identity;q=0", "*;q=0"])
def test_files_are_never_packed(target: Any, doors: Any, accepted: str) -> None:
    """19, B11: a download goes out as it is kept, with its length, whatever the client would take."""
    data = b"compress me " * 5000
    sent = doors["v1-raw"](data, "a.txt", media_type="text/plain")
    for more in ({}, {"Range": "bytes=5-99"}):
        answer = target.ask("GET", sent.path, {**sent.who, "Accept-Encoding": accepted, **more})
        assert answer.status in (200, 206)
        assert not answer.one("Content-Encoding")
        assert answer.body == (data[5:100] if more else data)
        assert str(len(answer.body)) == answer.one("Content-Length")


# --- JSON (28) ------------------------------------------------------------------------------------------------------

JSON = {
    "deep lists": b"[" * 20_000 + b"]" * 20_000,
    "deep objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "deep and open": b"[" * 100_000,
    "NaN": b'{"FIELD": NaN}',
    "Infinity": b'{"FIELD": -Infinity}',
    "a huge number": b'{"FIELD": ' + b"9" * 100_000 + b"}",
    "a huge exponent": b'{"FIELD": 1e999999999}',
    "lone surrogates": b'{"FIELD": "\\ud800\\udc00\\ud800"}',
    "raw surrogates": b'{"FIELD": "\xed\xa0\x80"}',
    "five megabytes": b'{"FIELD": "' + b"a" * 5_000_000 + b'"}',
    "many keys": b"{" + b",".join(b'"k%d": 1' % number for number in range(60_000)) + b"}",
    "duplicate keys": b'{"FIELD": "a", "FIELD": ["b"]}',
    "not UTF-8": b'{"FIELD": "\xff\xfe"}',
    "UTF-16": '{"FIELD": "a"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf[]",
    "nothing": b"",
    "a comment": b'{"FIELD": "a"} // x',
    "two values": b'{"FIELD": "a"}{"FIELD": "a"}',
    "a bare value": b"42",
    "a list": b"[]",
    "null": b"null",
    "a NUL": b'{"FIELD": "a\x00b"}',
    "an escaped NUL": b'{"FIELD": "a\\u0000b"}',
    "prototype": b'{"__proto__": {"admin": true}, "constructor": 1}',
    "a date": b'{"FIELD": "99999999999-99-99T99:99:99Z", "expires_at": "+1e9-01-01T00:00:00Z"}',
    "an early date": b'{"FIELD": "a", "expires_at": "0001-01-01T00:00:00+14:00"}',
    "a late date": b'{"FIELD": "a", "expires_at": "9999-12-31T23:59:59-14:00"}',
    "cut": b'{"FIELD": "a',
}
TAKES_NO_BODY = 204


def json_operations(target: Any, doors: Any) -> list[tuple[str, str, dict[str, str], str]]:
    """Give every documented operation that takes JSON: method, path, credentials, and a field it wants."""
    found = []
    for path, ways in target.document["paths"].items():
        for method, told in ways.items():
            content = told.get("requestBody", {}).get("content", {}).get("application/json")
            if content:
                name = re.findall(r"schemas/(\w+)", json.dumps(content))[0]
                field = next(iter(target.document["components"]["schemas"][name]["properties"]))
                credentials = doors.subject.who if path.startswith("/upload") else target.admin
                found.append((method.upper(), path, credentials, field))
    return found


@pytest.mark.parametrize("kind", JSON)
def test_hostile_json(target: Any, doors: Any, kind: str) -> None:
    """28: every route that takes JSON answers a hostile body below 500 and soon, and what can't be JSON with 4xx."""
    sent = doors["v1-raw"](b"stays", who=target.admin)
    operations = json_operations(target, doors)
    wrong = {}
    with target.staying_awake():
        for method, path, credentials, field in operations:
            filled = re.sub(r"\{[^}]+\}", sent.id if "files" in path else "attacked", path)
            answer = target.send_json(method, filled, credentials, JSON[kind].replace(b"FIELD", field.encode()))
            is_fine = kind in FINE and answer.status < 300
            if not (is_fine or (400 <= answer.status < 500 and isinstance(answer.json()["detail"], str))):
                wrong[f"{method} {path}"] = (answer.status, answer.text[:100])

    assert {} == wrong
    assert len(operations) >= 10
    assert b"stays" == target.ask("GET", sent.path, target.admin).body
    for listed in ("/v1/files", "/v1/users", "/v1/plans", "/v1/tokens"):
        assert 200 == target.ask("GET", listed, target.admin).status, "what was taken can't be shown"


# Well-formed JSON that a route may take, when every field may be left out or the text is one.
FINE = {"prototype", "null", "an escaped NUL", "a late date", "an early date", "many keys", "duplicate keys", "a date"}


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "", "text/html", "multipart/form-data"]
)
def test_json_under_another_type(target: Any, media_type: str) -> None:
    """23, 28: JSON that a page could send without asking first (a simple request) changes nothing."""
    name = f"user-{secrets.token_hex(4)}"
    body = json.dumps({"name": name}).encode()
    answer = target.ask(
        "POST", "/v1/users", {**target.admin, "Content-Type": media_type} if media_type else target.admin, body
    )

    assert answer.status in (400, 415, 422)
    assert 404 == target.ask("GET", f"/v1/users/{name}", target.admin).status
