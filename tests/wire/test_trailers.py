"""Digests that come behind the bytes: tus' checksum-trailer (T-KT1, T-KT2) and Content-Digest as a trailer (G-6)."""

import base64
import hashlib
import secrets
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.wire.drafts import PARTIAL, begin, new_user, usage
from tests.wire.raw import Answer, Raw

DATA = secrets.token_bytes(200_000)
OTHER = b"other bytes"
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    **{name: lambda data, name=name: hashlib.new(name, data).digest() for name in ("sha1", "sha256", "sha512", "md5")},
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
}


def chunked(data: bytes, *trailers: str) -> bytes:
    """Frame bytes as two chunks, with trailers behind them."""
    half = len(data) // 2
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in (data[:half], data[half:]) if one)
    return pieces + b"0\r\n" + "".join(f"{one}\r\n" for one in trailers).encode() + b"\r\n"


def checksum(algorithm: str, data: bytes = DATA) -> str:
    """Write Upload-Checksum."""
    return f"{algorithm} {base64.b64encode(DIGESTS[algorithm](data)).decode()}"


def patch(tus: Any, url: str, body: bytes, **headers: str) -> Answer:
    """Send a PATCH that promises a checksum behind its body, as it is framed."""
    named = {"Authorization": tus.http.headers["Authorization"], **TUS, "Upload-Offset": "0"}
    named |= {"Transfer-Encoding": "chunked", "Trailer": "Upload-Checksum"}
    named |= {name.replace("_", "-"): text for name, text in headers.items()}
    with Raw(urlsplit(str(tus.http.base_url)).port or 80) as raw:
        raw.ask("PATCH", urlsplit(url).path, named, body)
        return raw.answer()


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_T_KT2_a_checksum_may_follow_the_bytes(tus: Any, algorithm: str) -> None:
    """A trailer is compared as a header would be, by each algorithm: right is 204, wrong is 460 and discards."""
    url = tus.begin(len(DATA))
    wrong = patch(tus, url, chunked(DATA, f"Upload-Checksum: {checksum(algorithm, OTHER)}"))
    stands = tus.offset(url)
    right = patch(tus, url, chunked(DATA, f"upload-checksum: {checksum(algorithm)}"))

    assert (460, "Checksum Mismatch", 0) == (wrong.status, wrong.reason, stands)
    assert (204, str(len(DATA))) == (right.status, right.headers["upload-offset"])
    assert DATA == tus.file(url)


@pytest.mark.parametrize(
    "trailers",
    [
        (),
        ("X-Other: 1",),
        ("Upload-Checksum: sha1 %%%",),
        ("Upload-Checksum: sha3 abcd",),
        ("Upload-Checksum: sha1",),
        (f"Upload-Checksum: {checksum('sha1')}", f"Upload-Checksum: {checksum('md5')}"),
    ],
)
def test_T_KT2_a_promised_trailer_has_to_come(tus: Any, trailers: tuple[str, ...]) -> None:
    """A promised checksum that doesn't come, or can't be read, is 400, and nothing of the body counts."""
    url = tus.begin(len(DATA))

    assert 400 == patch(tus, url, chunked(DATA, *trailers)).status
    assert 0 == tus.offset(url)
    assert 204 == tus.patch(url, 0, DATA).status_code


def test_T_KT2_bytes_without_their_trailer_count_for_nothing(tus: Any) -> None:
    """A body that breaks off before its trailer was never verified (T-K5)."""
    url = tus.begin(len(DATA))
    named = {"Authorization": tus.http.headers["Authorization"], **TUS, "Upload-Offset": "0"}
    with Raw(urlsplit(str(tus.http.base_url)).port or 80) as raw:
        framing = {"Transfer-Encoding": "chunked", "Trailer": "Upload-Checksum"}
        raw.ask("PATCH", urlsplit(url).path, named | framing, chunked(DATA)[:-2])
        raw.socket.shutdown(1)
        assert 400 == raw.answer().status

    assert 0 == tus.offset(url)


def test_T_KT2_one_promise_is_enough(tus: Any) -> None:
    """A checksum in the header and the promise of one behind is 400: which of them holds isn't ours to choose."""
    url = tus.begin(len(DATA))
    both = patch(tus, url, chunked(DATA, f"Upload-Checksum: {checksum('sha1')}"), Upload_Checksum=checksum("sha1"))

    assert (400, 0) == (both.status, tus.offset(url))


def test_T_KT2_a_creation_may_bring_one(server: Any, tus: Any) -> None:
    """The first bytes are checked the same way (T-W6): a wrong trailer makes nothing."""
    named = {"Authorization": tus.http.headers["Authorization"], **TUS, "Upload-Length": str(len(DATA))}
    named |= {"Transfer-Encoding": "chunked", "Trailer": "Upload-Checksum"}
    with Raw(server.port) as raw:
        raw.ask("POST", "/files/", named, chunked(DATA, f"Upload-Checksum: {checksum('sha256', OTHER)}"))
        wrong = raw.answer()
        raw.ask("POST", "/files/", named, chunked(DATA, f"Upload-Checksum: {checksum('sha256')}"))
        right = raw.answer()

    assert (460, 201, str(len(DATA))) == (wrong.status, right.status, right.headers["upload-offset"])
    assert 0 == tus.http.get("/v1/me").json()["usage"]["open_uploads"]


def test_a_trailer_that_wasnt_promised_is_nobodys(tus: Any) -> None:
    """Nothing behind a body is read that its header didn't name: not a checksum, and never a header's field."""
    url = tus.begin(len(DATA))
    body = chunked(DATA, f"Upload-Checksum: {checksum('sha1', OTHER)}", "Authorization: Bearer x", "Upload-Offset: 7")

    assert 204 == patch(tus, url, body, Trailer="X-Other").status
    assert DATA == tus.file(url)


@pytest.mark.parametrize("headers", [{"Via": "1.1 a"}, {"X-Forwarded-For": "192.0.2.1"}, {"Host": "a.example"}])
def test_T_KT1_trailers_arent_offered_through_a_proxy(tus: Any, headers: dict[str, str]) -> None:
    """`checksum-trailer` is advertised where trailers arrive, and proxies drop them."""
    direct, through = (tus.http.options("/files/", headers=one).headers["Tus-Extension"] for one in ({}, headers))

    assert "checksum-trailer" in direct.split(",")
    assert "checksum-trailer" not in through


@pytest.mark.parametrize("path", ["/v1/files", "/v1/by-name/a.bin", "append"])
def test_G_6_a_content_digest_may_follow_the_bytes(server: Any, path: str) -> None:
    """Content-Digest as a trailer is compared behind the body (RFC 9530 §2); one that doesn't come says nothing."""
    with new_user(server) as user:
        named = {"Authorization": user.headers["authorization"], "Transfer-Encoding": "chunked"}
        named |= {"Trailer": "X, content-digest"}
        method = "PUT" if "by-name" in path else "POST"
        if path == "append":
            method, path = "PATCH", begin(user)
            named |= {"Content-Type": PARTIAL, "Upload-Offset": "0", "Upload-Complete": "?1"}
        digests = [hashlib.sha256(data).digest() for data in (OTHER, DATA)]
        trailers = [f"Content-Digest: sha-256=:{base64.b64encode(one).decode()}:" for one in digests]
        with Raw(server.port) as raw:
            answers = []
            for behind in [(trailers[0],), ("Content-Digest: nonsense!",), (trailers[1],)]:
                raw.ask(method, path, named, chunked(DATA, *behind))
                answers.append(raw.answer())
        assert [400, 400, 201] == [one.status for one in answers]
        assert [b"digest_mismatch" in answers[0].body, b"digest_malformed" in answers[1].body] == [True, True]
        assert 1 == usage(user)["files"]


def test_G_6_a_dropped_content_digest_says_nothing(server: Any) -> None:
    """A trailer may get lost on its way, so a promised Content-Digest that isn't there is none."""
    with new_user(server) as user, Raw(server.port) as raw:
        named = {"Authorization": user.headers["authorization"], "Transfer-Encoding": "chunked"}
        raw.ask("POST", "/v1/files", named | {"Trailer": "Content-Digest"}, chunked(DATA))
        assert 201 == raw.answer().status


def test_trailers_are_bounded(server: Any, tus: Any) -> None:
    """A flood behind a body ends the connection, and its bytes don't pass for checked."""
    url = tus.begin(len(DATA))
    flood = [f"X-{number}: y" for number in range(100)]

    assert 400 == patch(tus, url, chunked(DATA, *flood, f"Upload-Checksum: {checksum('sha1')}")).status
    assert 0 == tus.offset(url)
    assert server.process.poll() is None
