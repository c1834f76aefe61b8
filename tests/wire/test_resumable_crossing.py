"""One upload, two protocols: what tus began the IETF draft goes on with, and back; through cuts and restarts too."""

import hashlib
import secrets
import signal
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.drafts import append, begin, flag, is_complete, limits, new_user, open_append, until_offset, usage

TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {**TUS, "Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def user(server: Any) -> Iterator[httpx2.Client]:
    """A user of whom nobody else knows."""
    with new_user(server) as client:
        yield client


def tus_begin(client: httpx2.Client, **headers: str) -> str:
    """Begin an upload by tus; give its path."""
    answer = client.post("/files", headers={**TUS, **headers})
    assert answer.status_code == 201, answer.text
    return str(urlsplit(answer.headers["location"]).path)


def tus_append(client: httpx2.Client, at: str, data: bytes, *, offset: int, **headers: str) -> httpx2.Response:
    """Continue one by tus."""
    return client.patch(at, content=data, headers={**STREAM, "Upload-Offset": str(offset), **headers})


def test_tus_begins_the_draft_ends(user: httpx2.Client) -> None:
    """Its size left open by tus, the end said by the draft: the size is what came, and tus sees it complete."""
    data = secrets.token_bytes(3000)
    at = tus_begin(user, **{"Upload-Defer-Length": "1", "Upload-Metadata": "filename YS5iaW4="})
    assert 204 == tus_append(user, at, data[:1000], offset=0).status_code
    assert "1000" == user.head(at, headers=flag(6, complete=False)).headers["upload-offset"]
    assert 204 == append(user, at, data[1000:2000], offset=1000).status_code
    told = user.head(at, headers=TUS)
    assert ("2000", "1") == (told.headers["upload-offset"], told.headers["upload-defer-length"])

    ended = append(user, at, data[2000:], offset=2000, end=True)
    told = user.head(at, headers=TUS)

    assert (201, "a.bin") == (ended.status_code, ended.json()["name"])
    assert hashlib.sha256(data).hexdigest() == ended.json()["sha256"]
    assert ("3000", "3000") == (told.headers["upload-offset"], told.headers["upload-length"])
    assert data == user.get(at).content


def test_the_draft_begins_tus_ends(user: httpx2.Client) -> None:
    """Its length announced by the draft, the last byte sent by tus: complete, and the draft hears the file."""
    data = secrets.token_bytes(2000)
    at = begin(user, data[:500], path="/v1/files?name=b.bin", **{"Upload-Length": "2000"})
    told = user.head(at, headers=TUS)
    assert ("500", "2000", "1.0.0") == tuple(
        told.headers[name] for name in ("upload-offset", "upload-length", "tus-resumable")
    )
    assert 204 == tus_append(user, at, data[500:], offset=500).status_code

    told = user.head(at)
    file = append(user, at, b"", offset=2000, end=True)

    assert ("2000", True) == (told.headers["upload-offset"], is_complete(told))
    assert hashlib.sha256(data).hexdigest() == file.json()["sha256"]
    assert 1 == usage(user)["files"]


def test_tus_hears_complete_of_what_is_whole(user: httpx2.Client) -> None:
    """A tus client that finds all bytes there finds the file, too: it has no other way to say that this was all."""
    at = begin(user, b"all", **{"Upload-Length": "3"})
    assert not is_complete(user.head(at))

    assert "3" == user.head(at, headers=TUS).headers["upload-offset"]

    assert is_complete(user.head(at))
    assert b"all" == user.get(at).content


def test_tus_resumable_means_tus(user: httpx2.Client) -> None:
    """Where both protocols' fields stand, the draft's are passed over, at every address that both have."""
    made = user.post("/v1/uploads", headers={**TUS, "Upload-Length": "3", **flag(6, complete=True)})
    at = urlsplit(made.headers["location"]).path
    more = tus_append(user, at, b"abc", offset=0, **flag(6, complete=False))

    assert [(201, "1.0.0"), (204, "1.0.0")] == [(one.status_code, one.headers["tus-resumable"]) for one in (made, more)]
    assert "upload-complete" not in made.headers
    assert is_complete(user.head(at))


def test_without_a_mark_head_tells_both(user: httpx2.Client) -> None:
    """A HEAD of nobody's protocol gets all that is known; PATCH and POST without a mark are tus' to refuse."""
    at = tus_begin(user, **{"Upload-Length": "9"})
    told = user.head(at)

    assert (204, "0", "9", False) == (
        told.status_code,
        told.headers["upload-offset"],
        told.headers["upload-length"],
        is_complete(told),
    )
    assert {"max-size", "max-age"} == set(limits(told))
    assert "no-store" == told.headers["cache-control"]
    assert 412 == user.post("/files", headers={"Upload-Length": "1"}).status_code
    assert 412 == user.patch(at, headers={"Content-Type": STREAM["Content-Type"], "Upload-Offset": "0"}).status_code


def test_the_draft_leaves_joined_uploads_alone(user: httpx2.Client) -> None:
    """What tus joins of others, and is to join, takes no bytes and no end by the draft."""
    part = tus_begin(user, **{"Upload-Length": "3", "Upload-Concat": "partial"})
    answer = append(user, part, b"abc", offset=0, end=True)

    assert (409, "upload_is_final") == (answer.status_code, answer.json()["code"])


def test_I_R4_who_asks_sends_the_writer_away(user: httpx2.Client) -> None:
    """HEAD during an append whose client stalls: the answer is durable, and the next append may begin there."""
    data = secrets.token_bytes(50_000)
    at = begin(user, data[:100])
    with open_append(user, at, offset=100, announced=49_900) as stalled:
        stalled.sendall(data[100:40_000])
        before = time.monotonic()
        told = user.head(at)
        assert time.monotonic() - before < 5
        offset = int(told.headers["upload-offset"])
        ended = append(user, at, data[offset:], offset=offset, end=True)

    assert not is_complete(told)
    assert hashlib.sha256(data).hexdigest() == ended.json()["sha256"]


def test_I_R6_get_describes_and_disturbs_nobody(user: httpx2.Client) -> None:
    """GET of an upload during an append tells of it in JSON, and the append goes on to its end; then GET is the file.

    Who asks for JSON gets that at any time.
    """
    data = secrets.token_bytes(30_000)
    at = begin(user)
    with open_append(user, at, offset=0, announced=len(data)) as writer:
        writer.sendall(data[:10_000])
        told = [user.get(path).json() for path in (at, at.replace("/v1/uploads", "/files"))]
        writer.sendall(data[10_000:])
        answer = writer.recv(4096)

    assert ["open", "open"] == [one["state"] for one in told]
    assert answer.startswith(b"HTTP/1.1 201 ")
    for path in (at, at.replace("/v1/uploads", "/files")):
        assert data == user.get(path).content
        assert data[5:9] == user.get(path, headers={"Range": "bytes=5-8"}).content
        for asked in ({"headers": {"Accept": "application/json"}}, {"params": {"output": "json"}}):
            assert "sealed" == user.get(path, **asked).json()["state"]


@pytest.mark.parametrize("cut", [0, 1, 9_999, 20_000])
def test_I_A6_a_broken_append_keeps_what_came(user: httpx2.Client, cut: int) -> None:
    """Cut after any byte, an append with the end's flag isn't the end: what came counts, and the rest may follow."""
    data = secrets.token_bytes(20_001)
    at = begin(user)
    with open_append(user, at, offset=0, announced=len(data)) as connection:
        connection.sendall(data[:cut])

    told = until_offset(user, at, cut)

    assert (str(cut), False) == (told.headers["upload-offset"], is_complete(told))
    ended = append(user, at, data[cut:], offset=cut, end=True)
    assert hashlib.sha256(data).hexdigest() == ended.json()["sha256"]


def test_I_C1_uploads_outlive_the_server(make_server: Any) -> None:
    """Killed between two appends and after the last one, the server knows the offset, and gives the same answer."""
    server = make_server()
    data = secrets.token_bytes(3000)
    with new_user(server) as user:
        at = begin(user, data[:1000])
        server.stop(signal.SIGKILL)
        server.start_again()
        assert "1000" == user.head(at).headers["upload-offset"]
        first = append(user, at, data[1000:], offset=1000, end=True)
        server.stop(signal.SIGKILL)
        server.start_again()

        again = append(user, at, b"", offset=3000, end=True)

    assert (201, first.json()) == (again.status_code, again.json())
    assert hashlib.sha256(data).hexdigest() == again.json()["sha256"]
