"""Resumable uploads that begin at POST /upload of relay and blobs, and end with those surfaces' own answers."""

import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.drafts import PARTIAL, append, flag, is_complete, limits, new_user, usage

KEYS = {
    "relay": {"status", "message", "filename", "service", "link", "file_id", "file_url", "size", "sha256"},
    "blobs": {"file_id", "file_url", "show_image", "available_space"},
}


@pytest.fixture(params=KEYS)
def surface(request: pytest.FixtureRequest) -> str:
    """One of the two behind POST /upload."""
    return str(request.param)


@pytest.fixture
def client(server: Any, surface: str) -> Iterator[httpx2.Client]:
    """The service, or a user of whom nobody else knows."""
    with server.client(headers=server.service) if surface == "relay" else new_user(server) as found:
        yield found


@pytest.mark.parametrize("version", [3, 5, 6, 8, 10, None])
def test_I_CR3_an_upload_begins_at_a_surface(client: httpx2.Client, surface: str, version: int | None) -> None:
    """A first part is 201 with an address of its own, and the end there is answered as the surface answers a file."""
    data = secrets.token_bytes(3000)
    named = {"Content-Disposition": 'inline; filename="big.bin"', "Content-Type": "application/octet-stream"}
    begun = client.post("/upload", content=data[:1000], headers={**flag(version, complete=False), **named})
    assert (201, False) == (begun.status_code, is_complete(begun)), begun.text
    at = urlsplit(begun.headers["location"]).path
    told = {"Content-Type": PARTIAL, "Upload-Offset": "1000", **flag(version, complete=True)}

    ended = client.patch(at, content=data[1000:], headers=told)

    assert (200, True) == (ended.status_code, is_complete(ended)), ended.text
    assert KEYS[surface] == set(ended.json())
    assert data == client.get(ended.json()["file_url"]).content
    assert 'filename="big.bin"' in client.get(ended.json()["file_url"]).headers["content-disposition"]
    assert data == client.get(at).content


def test_I_A8_a_surfaces_last_answer_is_given_again(client: httpx2.Client, surface: str) -> None:
    """Word for word, though links and free room would be others by now."""
    begun = client.post("/upload?fileName=a.bin", content=b"abc", headers=flag(None, complete=False))
    at = urlsplit(begun.headers["location"]).path
    first = append(client, at, b"def", offset=3, end=True)
    client.post("/upload", files={"file": ("more", b"x" * 100_000)})

    again = append(client, at, b"", offset=6, end=True)

    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert is_complete(again)
    if surface == "relay":
        links = client.get(f"/v1/files/{first.json()['file_id']}/links").json()["links"]
        assert [first.json()["link"]] == [link["url"] for link in links]


def test_I_CR2_the_whole_at_a_surface(client: httpx2.Client, surface: str) -> None:
    """With the flag of the end a form and a raw body are ordinary uploads; a form can't be a first part (415)."""
    form = {"file": ("a.bin", b"whole")}
    answers = [
        client.post("/upload", files=form, headers=flag(6, complete=True)),
        client.post("/upload?fileName=a.bin", content=b"whole", headers=flag(6, complete=True)),
        client.post("/upload?fileName=a.bin", content=b"whole"),
    ]
    part = client.post("/upload", files=form, headers=flag(6, complete=False))

    assert [200] * 3 == [answer.status_code for answer in answers]
    assert [True, True, None] == [is_complete(answer) for answer in answers]
    assert [KEYS[surface]] * 3 == [set(answer.json()) for answer in answers]
    assert (415, "media_type_refused") == (part.status_code, part.json()["code"])


def test_what_cant_begin_at_a_surface(client: httpx2.Client, surface: str) -> None:
    """Without a name, for a store that isn't there, or with a credential of nobody's, nothing begins."""
    before = usage(client)["open_uploads"]
    nameless = client.post("/upload", content=b"abc", headers=flag(6, complete=False))
    stranger = {"X-Auth-Token": "wrong-token"} if surface == "relay" else {"Authorization": "Bearer wrong"}
    unknown = client.post("/upload?fileName=a", content=b"a", headers={**flag(6, complete=False), **stranger})

    assert {"relay": 422, "blobs": 400}[surface] == nameless.status_code
    assert {"relay": 403, "blobs": 401}[surface] == unknown.status_code
    assert "application/problem+json" == unknown.headers["content-type"]
    if surface == "relay":
        wrong = client.post("/upload?fileName=a&service=dropbox", content=b"a", headers=flag(6, complete=False))
        assert (400, "service_unsupported") == (wrong.status_code, wrong.json()["code"])
    assert before == usage(client)["open_uploads"]


def test_I_O1_limits_of_a_surface(client: httpx2.Client, surface: str) -> None:
    """OPTIONS tells the limits of whoever shows a token, and needs none."""
    answer = client.options("/upload")
    begun = client.post("/upload?fileName=a", content=b"", headers=flag(None, complete=False))

    assert (204, PARTIAL) == (answer.status_code, answer.headers["accept-patch"])
    assert limits(answer).get("max-size") == limits(begun).get("max-size")
    assert ("max-size" in limits(answer)) == (surface == "blobs")
    client.delete(begun.headers["location"])
