"""Resumable uploads for HTTP: how they begin, in the words of each draft, and what is told of limits."""

import hashlib
import secrets
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.drafts import EMPTY, PARTIAL, TYPES, VERSIONS, begin, flag, is_complete, limits, new_user, usage

PARTS = {"Content-Digest": 3, "Repr-Digest": None}  # of how many bytes


@pytest.fixture
def user(server: Any) -> Iterator[httpx2.Client]:
    """A user of whom nobody else knows."""
    with new_user(server) as client:
        yield client


@pytest.mark.parametrize("version", VERSIONS)
def test_I_CR3_an_upload_in_parts_in_each_dialect(user: httpx2.Client, version: int | None) -> None:
    """Begun with its first bytes, asked for, continued and ended: each version's own fields lead to one file."""
    data = secrets.token_bytes(3000)
    begun = user.post("/v1/files?name=a.bin", content=data[:1000], headers=flag(version, complete=False))
    assert (201, False) == (begun.status_code, is_complete(begun))
    at = urlsplit(begun.headers["location"]).path
    echoed = str(version) if version in range(3, 11) else None
    kind = {} if version in (3, 4, 5) else {"Content-Type": PARTIAL}
    named = {} if version is None else {"Upload-Draft-Interop-Version": str(version)}

    told = user.head(at, headers=named)
    assert (204, "1000", False) == (told.status_code, told.headers["upload-offset"], is_complete(told))
    assert "no-store" == told.headers["cache-control"]
    more = user.patch(
        at, content=data[1000:2000], headers={**flag(version, complete=False), **kind, "Upload-Offset": "1000"}
    )
    assert (204, False) == (more.status_code, is_complete(more)), more.text
    last = user.patch(
        at, content=data[2000:], headers={**flag(version, complete=True), **kind, "Upload-Offset": "2000"}
    )

    assert (201, True) == (last.status_code, is_complete(last)), last.text
    assert {echoed} == {one.headers.get("upload-draft-interop-version") for one in (begun, told, more, last)}
    assert hashlib.sha256(data).hexdigest() == last.json()["sha256"]
    assert data == user.get(urlsplit(last.headers["location"]).path + "/content").content


@pytest.mark.parametrize("version", VERSIONS)
def test_I_CR2_the_whole_in_one_request(user: httpx2.Client, version: int | None) -> None:
    """With the flag of the end, a target answers as it always does, and says that this was all."""
    answer = user.post("/v1/files?name=a.bin", content=b"whole", headers=flag(version, complete=True))

    assert (201, True) == (answer.status_code, is_complete(answer))
    assert "/v1/files/" + answer.json()["id"] == urlsplit(answer.headers["location"]).path
    assert 0 == usage(user)["open_uploads"]


@pytest.mark.parametrize(
    ("version", "keys"),
    [(3, None), (4, None), (5, None), (6, {"expires"}), (7, {"max-age"}), (10, {"max-age"}), (None, {"max-age"})],
)
def test_I_F7_limits_have_the_names_of_their_draft(
    user: httpx2.Client, version: int | None, keys: set[str] | None
) -> None:
    """`expires` in version 6, `max-age` later, no Upload-Limit before; and a plan's largest file."""
    answer = user.post("/v1/files", headers=flag(version, complete=False))

    if keys is None:
        assert "upload-limit" not in answer.headers
    else:
        assert keys | {"max-size"} == set(limits(answer))
        assert 0 < limits(answer)[keys.copy().pop()] <= 7 * 24 * 3600
    assert 0 < int(user.head(answer.headers["location"]).headers["upload-limit"].split("max-age=")[1])


def test_I_CR11_who_waits_for_100_gets_it(server: Any, user: httpx2.Client) -> None:
    """100 comes where it is waited for, and no 104 through what may be a proxy."""
    request = (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['authorization']}\r\n"
        "Upload-Draft-Interop-Version: 6\r\nUpload-Complete: ?0\r\nContent-Length: 5\r\n"
        "Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(request.encode())
        first = client.recv(4096)
        client.sendall(b"bytes")
        rest = b"".join(iter(lambda: client.recv(4096), b""))

    assert first.startswith(b"HTTP/1.1 100 ")
    assert rest.startswith(b"HTTP/1.1 201 ")
    assert b" 104 " not in first + rest


@pytest.mark.parametrize("odd", ["yes", "1", "?2", "", "?1, ?1"])
def test_I_F2_a_flag_that_is_none_says_nothing(user: httpx2.Client, odd: str) -> None:
    """A field that can't be read is passed over as a whole: the request is an ordinary upload."""
    answer = user.post("/v1/files", content=b"whole", headers={"Upload-Complete": odd})

    assert (201, None) == (answer.status_code, is_complete(answer))
    assert 5 == answer.json()["size"]


def test_I_F2_two_lines_of_a_flag_say_nothing(user: httpx2.Client) -> None:
    """An Item on two lines is none (RFC 9651 §4.2)."""
    answer = user.post("/v1/files", content=b"whole", headers=[("Upload-Complete", "?0"), ("Upload-Complete", "?0")])

    assert (201, 5) == (answer.status_code, answer.json()["size"])


def test_I_F3_parameters_are_passed_over(user: httpx2.Client) -> None:
    """Parameters behind an Item are read and mean nothing."""
    at = begin(user, b"abc", **{"Upload-Complete": "?0;a=1; b", "Upload-Length": '7;note="x"'})

    assert ("3", "7") == tuple(user.head(at).headers[name] for name in ("upload-offset", "upload-length"))


def test_I_F4_sizes_agree(user: httpx2.Client) -> None:
    """Upload-Length beside a whole body of another size is 400, whether or not Content-Length says so."""
    headers = {"Upload-Complete": "?1", "Upload-Length": "7"}
    said = user.post("/v1/files", content=b"five5", headers=headers)
    chunked = user.post("/v1/files", content=iter([b"fi", b"ve5"]), headers=headers)
    longer = user.post("/v1/files", content=iter([b"five5", b"more"]), headers=headers)

    assert (400, TYPES + "inconsistent-upload-length") == (said.status_code, said.json()["type"])
    assert "application/problem+json" == said.headers["content-type"]
    assert (400, 400) == (chunked.status_code, longer.status_code)
    assert EMPTY == usage(user)


def test_I_F5_a_first_part_past_its_length_leaves_nothing(user: httpx2.Client) -> None:
    """More than the announced bytes at the beginning are 400, and no upload stays."""
    headers = {"Upload-Complete": "?0", "Upload-Length": "3"}
    said = user.post("/v1/files", content=b"longer", headers=headers)
    chunked = user.post("/v1/files", content=iter([b"long", b"er"]), headers=headers)

    assert [(400, "length_inconsistent")] * 2 == [(one.status_code, one.json()["code"]) for one in (said, chunked)]
    assert 0 == usage(user)["open_uploads"]


@pytest.mark.parametrize("path", ["/v1/files", "/v1/by-name/a.bin", "/v1/uploads", "/files", "/upload_tus/"])
def test_I_O1_limits_are_told_before(server: Any, user: httpx2.Client, path: str) -> None:
    """OPTIONS of each target gives Upload-Limit: of one's own plan to whoever shows a token."""
    answer = user.options(path)
    with server.client() as anybody:
        unknown = anybody.options(path)
        wrong = anybody.options(path, headers=server.bearer("cya_wrong"))

    assert (204, PARTIAL) == (answer.status_code, answer.headers["accept-patch"])  # I-O5
    assert limits(user.post("/v1/uploads", headers={"Upload-Complete": "?0"}))["max-size"] == limits(answer)["max-size"]
    assert {"min-size"} == set(limits(unknown)) == set(limits(wrong))  # I-F6: never an empty field
    assert ("tus-version" in answer.headers) == (not path.startswith(("/v1/files", "/v1/by-name")))


def test_I_CR8_too_much_is_told_with_the_limits(make_server: Any) -> None:
    """Past the plan's largest file: 413 with Upload-Limit, before the body and in the middle of it."""
    server = make_server(CARRYALL_USER_MAX_FILE_MB="1")
    with new_user(server) as user:
        said = user.post("/v1/uploads", headers={"Upload-Complete": "?0", "Upload-Length": str(2 << 20)})
        found = user.post("/v1/uploads", content=iter([b"x" * (2 << 20)]), headers={"Upload-Complete": "?0"})
        at = begin(user, b"x" * 1000)
        kind = {"Content-Type": PARTIAL, "Upload-Complete": "?0", "Upload-Offset": "1000"}
        later = user.patch(at, content=iter([b"x" * (1 << 20)]), headers=kind)

        for answer in (said, found, later):
            assert (413, 1 << 20) == (answer.status_code, limits(answer)["max-size"]), answer.text
        assert 1 == usage(user)["open_uploads"]


def test_I_CR9_a_version_alone_changes_nothing(user: httpx2.Client) -> None:
    """Without the flag a request is an ordinary upload, also at the address where uploads begin."""
    answers = [
        user.post(path, content=b"whole", headers={"Upload-Draft-Interop-Version": "6"})
        for path in ("/v1/files", "/v1/uploads", "/files")
    ]

    assert [(201, None)] * 3 == [(one.status_code, is_complete(one)) for one in answers]


def test_I_CR4_names_and_types_come_as_everywhere(user: httpx2.Client) -> None:
    """The name is of Content-Disposition or the query, the type of Content-Type; an empty file is one, too."""
    headers = {"Content-Disposition": "inline; filename*=UTF-8''%C3%A4.txt", "Content-Type": "text/plain"}
    at = begin(user, path="/v1/uploads", **headers)
    kind = {"Content-Type": PARTIAL, "Upload-Complete": "?1", "Upload-Offset": "0"}

    file = user.patch(at, content=b"", headers=kind).json()

    assert ("ä.txt", 0) == (file["name"], file["size"])
    assert "resumable" == file["door"]


def test_I_CR3_a_form_comes_whole(user: httpx2.Client) -> None:
    """A form with the flag of the end is an ordinary upload; as a first part it is 415."""
    whole = user.post("/v1/files", files={"file": ("a", b"a")}, headers={"Upload-Complete": "?1"})
    first = user.post("/v1/files", files={"file": ("a", b"a")}, headers={"Upload-Complete": "?0"})

    assert (201, True) == (whole.status_code, is_complete(whole))
    assert (415, "media_type_refused") == (first.status_code, first.json()["code"])


def test_I_CR7_a_first_request_that_breaks_off_leaves_nothing(server: Any) -> None:
    """Without a 104 nobody knows its address, so an upload that breaks off in its first request is given up."""
    with new_user(server) as user:
        for complete in ("?1", "?0"):
            head = (
                f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['authorization']}\r\n"
                f"Upload-Complete: {complete}\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
            )
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
                client.sendall(head.encode())
                assert client.recv(4096).startswith(b"HTTP/1.1 100 ")
                assert 1 == usage(user)["open_uploads"]
                client.sendall(b"x" * 50)

            deadline = time.monotonic() + 15
            while usage(user) != EMPTY and time.monotonic() < deadline:
                time.sleep(0.02)
            assert EMPTY == usage(user)


def test_digests_of_the_first_part(user: httpx2.Client) -> None:
    """Content-Digest is of this part, Repr-Digest of all that will come; a wrong one of the part leaves nothing."""
    data = b"one and two"
    digest = {name: f"sha-256=:{b64encode(hashlib.sha256(data[:n]).digest()).decode()}:" for name, n in PARTS.items()}
    at = begin(user, data[:3], **digest)
    kind = {"Content-Type": PARTIAL, "Upload-Complete": "?1", "Upload-Offset": "3"}
    assert 201 == user.patch(at, content=data[3:], headers=kind).status_code

    wrong = user.post("/v1/files", content=b"not it", headers={"Upload-Complete": "?0", **digest})

    assert (400, "digest_mismatch") == (wrong.status_code, wrong.json()["code"])
    assert 0 == usage(user)["open_uploads"]
