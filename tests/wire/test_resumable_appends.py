"""Resumable uploads for HTTP: asked for, continued, ended and given up, one rule after the other."""

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.drafts import (
    EMPTY,
    PARTIAL,
    TYPES,
    append,
    begin,
    flag,
    is_complete,
    limits,
    new_user,
    open_append,
    usage,
)


@pytest.fixture
def user(server: Any) -> Iterator[httpx2.Client]:
    """A user of whom nobody else knows."""
    with new_user(server) as client:
        yield client


def digest(data: bytes, algorithm: str = "sha256") -> str:
    """Write a digest as RFC 9530 does."""
    name = {"sha256": "sha-256", "sha512": "sha-512"}[algorithm]
    return f"{name}=:{b64encode(hashlib.new(algorithm, data).digest()).decode()}:"


def test_I_R1_an_offset_is_told_with_what_is_known(user: httpx2.Client) -> None:
    """HEAD gives the offset, the flag, the limits and, when it is known, the length; nothing of it is to be cached."""
    at = begin(user, b"abc")
    told = user.head(at)
    append(user, at, b"de", offset=3, **{"Upload-Length": "9"})  # I-A10: the length may come later
    later = user.head(at, headers=flag(10, complete=True))  # I-R5: what doesn't belong there is passed over

    assert (204, "3", False) == (told.status_code, told.headers["upload-offset"], is_complete(told))
    assert "upload-length" not in told.headers
    assert "no-store" == told.headers["cache-control"]
    assert {"max-size", "max-age"} == set(limits(told))
    assert ("5", "9") == (later.headers["upload-offset"], later.headers["upload-length"])


def test_I_F2_the_flag_ends_it_and_not_the_length(user: httpx2.Client) -> None:
    """All bytes with `?0` make no file; the end is said, also by a request that brings nothing."""
    at = begin(user, b"all", **{"Upload-Length": "3"})
    told = user.head(at)
    assert ("3", "3", False) == (told.headers["upload-offset"], told.headers["upload-length"], is_complete(told))
    assert 0 == usage(user)["files"]

    ended = append(user, at, b"", offset=3, end=True)

    assert (201, True, 3) == (ended.status_code, is_complete(ended), ended.json()["size"])
    assert is_complete(user.head(at))


@pytest.mark.parametrize("version", [6, 10])
def test_I_A1_an_append_says_what_it_is(user: httpx2.Client, version: int) -> None:
    """From version 6 on an append of another type is 415, and nothing of it is kept."""
    at = begin(user)
    headers = {**flag(version, complete=True), "Upload-Offset": "0", "Content-Type": "text/plain"}

    answer = user.patch(at, content=b"x", headers=headers)

    assert (415, "media_type_refused") == (answer.status_code, answer.json()["code"])
    assert "0" == user.head(at).headers["upload-offset"]


@pytest.mark.parametrize("given", [0, 2, 4, 10**14])
def test_I_A2_a_wrong_offset_is_told_the_right_one(user: httpx2.Client, given: int) -> None:
    """409 with the offset to go on from, as a field and in the problem; the upload is as it was."""
    at = begin(user, b"abc")
    answer = append(user, at, b"xyz", offset=given, end=True)
    problem = answer.json()

    assert (409, False, "3") == (answer.status_code, is_complete(answer), answer.headers["upload-offset"])
    assert "application/problem+json" == answer.headers["content-type"]
    assert TYPES + "mismatching-upload-offset" == problem["type"]
    assert (3, given, 409) == (problem["expected-offset"], problem["provided-offset"], problem["status"])
    assert 201 == append(user, at, b"de", offset=3, end=True).status_code


@pytest.mark.parametrize(
    "wrong",
    [{"Upload-Offset": "-1"}, {"Upload-Offset": "0x1"}, {"Upload-Offset": "01"}, {"Upload-Complete": "1"}],
)
def test_I_A3_an_append_without_its_fields_is_refused(user: httpx2.Client, wrong: dict[str, str]) -> None:
    """Offset and flag have to be there and readable: 400."""
    at = begin(user)
    answer = append(user, at, b"x", offset=0, **wrong)

    assert (400, "header_invalid") == (answer.status_code, answer.json()["code"])


def test_I_A4_a_refused_file_ends_the_upload(user: httpx2.Client) -> None:
    """When the whole isn't what was announced, the answer is the target's last word, and the upload is gone."""
    at = begin(user, b"abc", **{"Repr-Digest": digest(b"abcd")})
    answer = append(user, at, b"xx", offset=3, end=True)

    assert (400, "digest_mismatch", True) == (answer.status_code, answer.json()["code"], is_complete(answer))
    assert 410 == user.head(at).status_code
    assert EMPTY == usage(user)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_whole_digest_may_come_last(user: httpx2.Client, algorithm: str) -> None:
    """Repr-Digest on the last append is compared, though the bytes came in requests before."""
    for announced, status in ((b"abc", 201), (b"abd", 400)):
        at = begin(user, b"abc")
        told = {"Repr-Digest": digest(announced, algorithm)}

        assert status == append(user, at, b"", offset=3, end=True, **told).status_code


def test_a_wrong_digest_of_a_part_keeps_what_was_before(user: httpx2.Client) -> None:
    """Content-Digest covers one append: all of it counts, or nothing."""
    at = begin(user, b"abc")
    wrong = append(user, at, b"def", offset=3, **{"Content-Digest": digest(b"xyz")})
    assert (400, "digest_mismatch") == (wrong.status_code, wrong.json()["code"])
    assert "3" == user.head(at).headers["upload-offset"]

    right = append(user, at, b"def", offset=3, end=True, **{"Content-Digest": digest(b"def")})

    assert hashlib.sha256(b"abcdef").hexdigest() == right.json()["sha256"]


def test_I_A8_a_lost_answer_is_given_again(user: httpx2.Client) -> None:
    """An empty append with the flag, at the end of a complete upload, gets the answer of the one before it."""
    at = begin(user, b"abc", path="/v1/files?name=a.txt")
    first = append(user, at, b"de", offset=3, end=True)
    again = append(user, at, b"", offset=5, end=True)

    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert [first.headers[name] for name in ("location", "etag", "upload-complete")] == [
        again.headers[name] for name in ("location", "etag", "upload-complete")
    ]
    assert 1 == usage(user)["files"]


@pytest.mark.parametrize(
    ("version", "status", "kind"),
    [(5, 409, "about:blank"), (6, 400, TYPES + "completed-upload"), (9, 409, "about:blank")],
)
def test_I_A8_a_complete_upload_takes_nothing(user: httpx2.Client, version: int, status: int, kind: str) -> None:
    """Everything else that is sent to a complete upload is refused, in the words of the draft."""
    at = begin(user, b"abc")
    append(user, at, b"", offset=3, end=True)
    for offset, data, complete in (("3", b"more", True), ("3", b"", False), ("0", b"abc", True)):
        headers = {**flag(version, complete=complete), "Content-Type": PARTIAL, "Upload-Offset": offset}
        answer = user.patch(at, content=data, headers=headers)

        assert (status, kind, False) == (answer.status_code, answer.json()["type"], is_complete(answer))
    assert 3 == usage(user)["stored_bytes"]


@pytest.mark.parametrize("data", [b"xx", [b"x", b"x"]], ids=["announced", "chunked"])
def test_I_F4_the_end_comes_where_it_was_announced(user: httpx2.Client, data: Any) -> None:
    """An end before the announced length is 400; the upload waits for the rest."""
    at = begin(user, b"abc", **{"Upload-Length": "9"})
    answer = append(user, at, iter(data) if isinstance(data, list) else data, offset=3, end=True)
    assert (400, TYPES + "inconsistent-upload-length") == (answer.status_code, answer.json()["type"])

    held = int(user.head(at).headers["upload-offset"])
    assert 201 == append(user, at, b"y" * (9 - held), offset=held, end=True).status_code


@pytest.mark.parametrize("data", [b"x" * 7, [b"x" * 4, b"x" * 3]], ids=["announced", "chunked"])
def test_I_F5_past_its_length_an_upload_is_void(user: httpx2.Client, data: Any) -> None:
    """More bytes than announced are 400, and the upload is of no more use."""
    at = begin(user, b"abc", **{"Upload-Length": "9"})
    answer = append(user, at, iter(data) if isinstance(data, list) else data, offset=3)

    assert (400, "length_inconsistent") == (answer.status_code, answer.json()["code"])
    assert 410 == user.head(at).status_code
    assert EMPTY == usage(user)


def test_I_F4_a_length_never_changes(user: httpx2.Client) -> None:
    """Another Upload-Length than before, or one below what is held, is 400 and changes nothing."""
    at, other = begin(user, b"abc", **{"Upload-Length": "9"}), begin(user, b"abc")
    changed = append(user, at, b"d", offset=3, **{"Upload-Length": "8"})
    small = append(user, other, b"", offset=3, **{"Upload-Length": "2"})

    assert [(400, "length_inconsistent")] * 2 == [(one.status_code, one.json()["code"]) for one in (changed, small)]
    assert ("3", "9") == tuple(user.head(at).headers[name] for name in ("upload-offset", "upload-length"))


def test_I_D1_a_cancelled_upload_is_gone(user: httpx2.Client) -> None:
    """DELETE is 204 and frees the room; then everything is 410."""
    at = begin(user, b"abc", **{"Upload-Length": "9"})

    assert 204 == user.delete(at).status_code
    assert EMPTY == usage(user)
    assert [410] * 3 == [
        answer.status_code for answer in (user.head(at), user.delete(at), append(user, at, b"d", offset=3))
    ]


def test_I_X2_a_cancel_ends_a_running_append(user: httpx2.Client) -> None:
    """DELETE doesn't wait for an append whose client stalls; that append hears that it came to nothing."""
    at = begin(user, b"abc")
    with open_append(user, at, offset=3, announced=100) as stalled:
        stalled.sendall(b"x" * 50)
        assert 204 == user.delete(at).status_code
        assert stalled.recv(4096).startswith((b"HTTP/1.1 409 ", b"HTTP/1.1 410 "))

    assert EMPTY == usage(user)


def test_I_D2_a_file_outlives_its_upload(user: httpx2.Client) -> None:
    """DELETE of a complete upload ends its address, and leaves the file where it is."""
    at = begin(user, b"abc")
    location = urlsplit(append(user, at, b"", offset=3, end=True).headers["location"]).path

    assert (204, 410) == (user.delete(at).status_code, user.head(at).status_code)
    assert b"abc" == user.get(f"{location}/content").content


def test_somebody_elses_upload_isnt_there(server: Any, user: httpx2.Client) -> None:
    """Every verb on another's upload is the 404 of one that never was; nobody in particular gets 401."""
    at = begin(user, b"abc")
    with new_user(server) as other, server.client() as anybody:
        for client, status in ((other, 404), (anybody, 401)):
            answers = [
                client.head(at),
                client.delete(at),
                append(client, at, b"d", offset=3, end=True),
                append(client, at, b"d", offset=99),
            ]
            assert [status] * 4 == [one.status_code for one in answers]
    assert "3" == user.head(at).headers["upload-offset"]


def test_a_path_is_created_then_replaced(user: httpx2.Client) -> None:
    """PUT under a name may come in parts: 201 when the name was free, 200 when not, and its conditions hold."""
    answers = []
    for _ in range(2):
        data = secrets.token_bytes(100)
        begun = user.put("/v1/by-name/a/b.bin", content=data[:50], headers={"Upload-Complete": "?0"})
        at = urlsplit(begun.headers["location"]).path
        answers.append(append(user, at, data[50:], offset=50, end=True))
        assert answers[-1].json() == append(user, at, b"", offset=100, end=True).json()
        assert data == user.get("/v1/by-name/a/b.bin").content
    taken = user.put("/v1/by-name/a/b.bin", headers={"Upload-Complete": "?0", "If-None-Match": "*"})

    assert [201, 200] == [one.status_code for one in answers]
    assert ["/v1/by-name/a/b.bin"] * 2 == [urlsplit(one.headers["location"]).path for one in answers]
    assert 412 == taken.status_code
    assert 1 == usage(user)["files"]
