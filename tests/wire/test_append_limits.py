"""How much one request may add to an upload: what clients are told, and what they are held to."""

import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.drafts import PARTIAL, append, begin, flag, limits, new_user, usage

MOST = 1 << 20
ADVICE = 90 << 20
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
FORWARDED = {"X-Forwarded-For": "198.51.100.7"}


@pytest.fixture(scope="module")
def limited(make_module_server: Callable[..., Any]) -> Any:
    """A server whose operator set the limit."""
    return make_module_server(CARRYALL_MAX_APPEND_MB="1")


@pytest.fixture
def user(limited: Any) -> Iterator[httpx2.Client]:
    """A user of it."""
    with new_user(limited) as client:
        yield client


@pytest.mark.parametrize("version", [6, 7, 10, None])
def test_I_F6_the_limit_of_an_append_is_told(user: httpx2.Client, version: int | None) -> None:
    """By OPTIONS, by the creation, by HEAD, and by each append (I-O1, I-CR3, I-R1)."""
    told = flag(version, complete=False)
    begun = user.post("/v1/uploads", headers=told)
    at = urlsplit(begun.headers["location"]).path
    kind = {"Content-Type": PARTIAL, "Upload-Offset": "0"}
    answers = [user.options("/v1/files", headers=told), begun, user.head(at, headers=told)]
    answers.append(user.patch(at, content=b"abc", headers={**told, **kind}))

    assert [MOST] * 4 == [limits(answer)["max-append-size"] for answer in answers]


def test_I_F7_early_drafts_have_no_limits(user: httpx2.Client) -> None:
    """They are held to it all the same."""
    begun = user.post("/v1/uploads", headers=flag(5, complete=False))

    assert "upload-limit" not in begun.headers
    big = user.post("/v1/uploads", content=bytes(MOST + 1), headers=flag(5, complete=False))
    assert (413, "append_too_large") == (big.status_code, big.json()["code"])


def test_a_tus_client_may_learn_the_limit(user: httpx2.Client) -> None:
    """It has no field for that: OPTIONS has the draft's, and the upload's JSON has a number."""
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "9"}
    at = user.post("/files", headers=headers).headers["location"]

    assert MOST == limits(user.options("/files", headers={"Tus-Resumable": "1.0.0"}))["max-append-size"]
    assert MOST == user.get(at).json()["max_append_bytes"]


def test_I_A9_too_much_is_refused_before_its_body(limited: Any, user: httpx2.Client) -> None:
    """413 with all limits, and no `100 Continue`; the upload goes on in smaller pieces."""
    at = begin(user, b"abc")
    head = (
        f"PATCH {at} HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['authorization']}\r\n"
        f"Content-Type: {PARTIAL}\r\nUpload-Offset: 3\r\nUpload-Complete: ?0\r\nContent-Length: {MOST + 1}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", limited.port), timeout=20) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536).decode().lower()

    assert answer.startswith("http/1.1 413 ")
    assert f"max-size={10 << 20}, max-append-size={MOST}" in answer
    assert "3" == user.head(at).headers["upload-offset"]
    assert 204 == append(user, at, bytes(MOST), offset=3).status_code


def test_I_A9_too_much_is_found_while_it_comes(user: httpx2.Client) -> None:
    """Where the size isn't announced, what came until then counts; also where the whole upload's length is known."""
    for length in ({}, {"Upload-Length": str(3 * MOST)}):
        at = begin(user, **length)
        answer = append(user, at, iter([bytes(MOST // 2)] * 5), offset=0)
        offset = int(user.head(at).headers["upload-offset"])

        assert (413, "append_too_large") == (answer.status_code, answer.json()["code"])
        assert MOST == limits(answer)["max-append-size"]
        assert 0 <= offset <= MOST
        assert 204 == append(user, at, b"more", offset=offset).status_code


def test_I_A9_too_much_at_the_beginning_leaves_nothing(user: httpx2.Client) -> None:
    """A first part is an append; the whole in one request isn't."""
    for path, headers in (
        ("/v1/files", flag(6, complete=False)),
        ("/files", {**TUS, "Upload-Length": str(2 * MOST)}),
    ):
        answer = user.post(path, content=bytes(MOST + 1), headers=headers)
        assert (413, "append_too_large", MOST) == (answer.status_code, answer.json()["code"], answer.json()["limit"])
    assert 0 == usage(user)["open_uploads"]

    for headers in ({}, flag(6, complete=True)):
        assert 201 == user.post("/v1/files", content=bytes(MOST + 1), headers=headers).status_code


def test_T_P7_a_tus_patch_is_held_to_it(user: httpx2.Client) -> None:
    """413 before its body, and the offset stays."""
    made = user.post("/files", headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(2 * MOST)})
    at = made.headers["location"]
    big = user.patch(at, content=bytes(MOST + 1), headers={**TUS, "Upload-Offset": "0"})
    small = [user.patch(at, content=bytes(MOST), headers={**TUS, "Upload-Offset": str(n * MOST)}) for n in range(2)]

    assert (413, "1.0.0", MOST) == (big.status_code, big.headers["tus-resumable"], big.json()["limit"])
    assert [204, 204] == [answer.status_code for answer in small]
    assert bytes(2 * MOST) == user.get(at).content


def test_behind_a_proxy_smaller_pieces_are_advised(server: Any) -> None:
    """Where a request says that it was forwarded, and the operator set nothing."""
    with new_user(server) as user:
        direct, proxied = user.options("/v1/files"), user.options("/v1/files", headers=FORWARDED)

    assert (None, ADVICE) == tuple(limits(answer).get("max-append-size") for answer in (direct, proxied))
