"""Files of the native API: created whole or not at all, described, changed, deleted."""

import base64
import hashlib
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import pytest

MIB = 1 << 20
SHAPE = {
    "id", "short_id", "name", "size", "sha256", "media_type", "path", "main_service_file_id", "owner", "door",
    "created_at", "expires_at", "last_read_at", "downloads", "url", "short_url", "target",
    "is_delivered", "copies",
}  # fmt: skip
NAMES = ["фото 1.png", 'a"b\\c.txt', "semi;colon=1.txt", "%41%0d%0a.txt", "..", "../../etc/passwd", "CON", "😀.txt"]


def new_user(server: Any, **token: Any) -> httpx2.Client:
    """Make a user by the API itself; give a client with a token of theirs."""
    name = f"files-{secrets.token_hex(6)}"
    with server.client(headers=server.admin) as admin:
        assert admin.post("/v1/users", json={"name": name}).status_code == 201
        made = admin.post(f"/v1/users/{name}/tokens", json=token)
    assert made.status_code == 201, made.text
    client: httpx2.Client = server.client(headers=server.bearer(made.json()["token"]))
    return client


@pytest.fixture
def user(server: Any) -> Iterator[httpx2.Client]:
    """A user of whom nobody else knows."""
    with new_user(server) as client:
        yield client


def create(client: httpx2.Client, data: bytes = b"bytes", name: str = "a.bin", **headers: str) -> dict[str, Any]:
    """Create a file by a raw body; give it."""
    answer = client.post("/v1/files", params={"filename": name}, content=data, headers=headers)
    assert answer.status_code == 201, answer.text
    file: dict[str, Any] = answer.json()
    return file


def usage(client: httpx2.Client) -> dict[str, int]:
    """Give what the client's owner holds."""
    found = client.get("/v1/me").json()["usage"]
    return {name: found[name] for name in ("stored_bytes", "reserved_bytes", "files", "open_uploads")}


EMPTY = {"stored_bytes": 0, "reserved_bytes": 0, "files": 0, "open_uploads": 0}


def until(check: Callable[[], bool], seconds: float = 15) -> None:
    """Ask again and again until something is so."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.05)


def test_a_raw_body_becomes_a_file(user: httpx2.Client) -> None:
    """201, the file's own URL as Location, the file as the answer, and its bytes under `url`."""
    data = secrets.token_bytes(100_000)
    answer = user.post("/v1/files", params={"filename": "a.bin"}, content=data)
    file = answer.json()

    assert answer.status_code == 201
    assert set(file) == SHAPE
    assert (file["name"], file["size"], file["door"]) == ("a.bin", len(data), "v1")
    assert file["sha256"] == hashlib.sha256(data).hexdigest()
    assert (file["target"], file["is_delivered"]) == ("local", True)
    assert [("local", "stored", None)] == [(copy["store"], copy["state"], copy["link"]) for copy in file["copies"]]
    assert user.get(answer.headers["Location"]).json() == file
    assert user.get(file["url"]).content == data
    assert answer.headers["ETag"] == user.get(file["url"]).headers["ETag"]


@pytest.mark.parametrize("name", NAMES)
def test_names_come_back_as_they_were_sent(user: httpx2.Client, name: str) -> None:
    """By `filename`, by `name`, by Content-Disposition and by a form, a name is data and stays what it is."""
    header = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
    sent = [
        user.post(f"/v1/files?filename={quote(name, safe='')}", content=b"x").json(),
        user.post(f"/v1/files?name={quote(name, safe='')}", content=b"x").json(),
        user.post("/v1/files", content=b"x", headers=header).json(),
    ]
    boundary = "----v1"
    escaped = name.replace('"', "%22")
    disposition = f'Content-Disposition: form-data; name="file"; filename="{escaped}"'
    body = f"--{boundary}\r\n{disposition}\r\n\r\nx\r\n--{boundary}--\r\n"
    form = user.post(
        "/v1/files", content=body.encode(), headers={"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )

    assert [name] * 4 == [file["name"] for file in [*sent, *form.json()["files"]]]
    told = user.get(sent[0]["url"]).headers["Content-Disposition"]
    assert told.isascii()
    assert not set("/\\\r\n\0") & set(told)


def test_a_form_brings_many_files(user: httpx2.Client) -> None:
    """Every part `file` becomes a file, in order; other parts are skipped."""
    parts = [("file", (f"{n}.txt", b"%d" % n)) for n in range(5)]
    answer = user.post("/v1/files", files=[*parts, ("other", ("no.txt", b"no"))], data={"note": "hello"})

    assert answer.status_code == 201
    assert [f"{n}.txt" for n in range(5)] == [file["name"] for file in answer.json()["files"]]
    assert usage(user)["files"] == 5


def test_a_form_is_kept_whole_or_not_at_all(user: httpx2.Client) -> None:
    """One file that is refused takes the others along, and gives their room back."""
    parts = [("file", ("small.txt", b"small")), ("file", ("large.bin", bytes(10 * MIB + 1)))]
    answer = user.post("/v1/files", files=parts)

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert user.get("/v1/files").json()["files"] == []
    assert usage(user) == EMPTY


def test_a_form_without_a_file_is_refused(user: httpx2.Client) -> None:
    """422 says which part is missing."""
    answer = user.post("/v1/files", files={"upload": ("a.txt", b"x")})

    assert (answer.status_code, answer.json()["code"]) == (422, "file_missing")
    assert answer.json()["errors"][0]["field"] == "body.file"


def test_an_empty_file_is_a_file(user: httpx2.Client) -> None:
    """No bytes at all are kept, served and ranged over as any others."""
    file = create(user, b"", "empty")
    whole = user.get(file["url"], headers={"Range": "bytes=0-"})

    assert (file["size"], file["sha256"]) == (0, hashlib.sha256(b"").hexdigest())
    assert (whole.status_code, whole.content, whole.headers["Content-Length"]) == (200, b"", "0")


def test_a_body_needs_no_length(user: httpx2.Client) -> None:
    """Chunked bodies come whole, and what was reserved for them is settled."""
    data = secrets.token_bytes(3 * MIB)
    answer = user.post("/v1/files", content=(data[at : at + 70_000] for at in range(0, len(data), 70_000)))

    assert answer.status_code == 201
    assert answer.json()["sha256"] == hashlib.sha256(data).hexdigest()
    assert usage(user) == {"stored_bytes": len(data), "reserved_bytes": 0, "files": 1, "open_uploads": 0}


@pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest"])
def test_a_wrong_digest_stores_nothing(user: httpx2.Client, field: str) -> None:
    """An announced digest that doesn't agree: 400, no file, no room taken; one that agrees is taken."""
    good, bad = (base64.b64encode(hashlib.sha256(data).digest()).decode() for data in (b"right", b"wrong"))
    refused = user.post("/v1/files", content=b"right", headers={field: f"sha-256=:{bad}:"})

    assert (refused.status_code, refused.json()["code"]) == (400, "digest_mismatch")
    assert usage(user) == EMPTY
    assert create(user, b"right", **{field: f"sha-256=:{good}:"})["size"] == 5


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Range": "bytes 0-4/10"}, 400, "content_range_refused"),
        ({"Content-Encoding": "gzip"}, 415, "content_coding_refused"),
        ({"Content-Digest": "sha-256=nonsense"}, 400, "digest_malformed"),
        ({"Content-Type": "multipart/form-data"}, 400, "form_boundary_missing"),
    ],
)
def test_what_cant_be_taken_is_said(user: httpx2.Client, headers: dict[str, str], status: int, code: str) -> None:
    """A part of a file, a compressed body, a digest or a form that can't be read: 4xx with a stable code."""
    answer = user.post("/v1/files", content=b"bytes", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert usage(user) == EMPTY


def test_nobody_is_refused_before_a_byte(server: Any) -> None:
    """Without a credential there is a 401 and no 100 Continue: the body is never asked for."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as wire:
        wire.sendall(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\nExpect: 100-continue\r\n\r\n")
        answer = wire.recv(65536).decode()

    assert answer.startswith("HTTP/1.1 401 ")
    assert "www-authenticate: bearer" in answer.lower()


def test_too_large_is_refused_before_a_byte(user: httpx2.Client, server: Any) -> None:
    """A length past the plan's limit is 413 at once; the limit itself is taken."""
    place, token = urlsplit(server.url), user.headers["Authorization"]
    with socket.create_connection((place.hostname, place.port), timeout=10) as wire:
        head = f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: {10 * MIB + 1}\r\n"
        wire.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        answer = wire.recv(65536).decode()

    assert answer.startswith("HTTP/1.1 413 ")
    assert create(user, bytes(10 * MIB))["size"] == 10 * MIB


def test_a_file_is_renamed(user: httpx2.Client) -> None:
    """A new name, everything else as it was; its name under /v1/by-name/ stays."""
    file = user.put("/v1/by-name/one/two.txt", content=b"x").json()
    answer = user.patch(f"/v1/files/{file['id']}", json={"name": "фото.txt"})

    assert answer.status_code == 200
    assert answer.json() == {**file, "name": "фото.txt"}
    assert user.get("/v1/by-name/one/two.txt").headers["Content-Disposition"].endswith(quote("фото.txt"))
    assert user.patch(f"/v1/files/{file['id']}", json={}).json()["name"] == "фото.txt"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"name": ""}, 422, "fields_invalid"),
        ({"name": None}, 422, "fields_invalid"),
        ({"size": 5}, 422, "fields_invalid"),
        ({"expires_at": "yesterday"}, 422, "fields_invalid"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, 422, "fields_invalid"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 400, "expiry_past"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, 400, "expiry_too_late"),
    ],
)
def test_wrong_changes_change_nothing(user: httpx2.Client, changes: dict[str, Any], status: int, code: str) -> None:
    """A change that can't be is 4xx, and leaves what came with it undone."""
    file = create(user)
    answer = user.patch(f"/v1/files/{file['id']}", json={"name": "new.txt", **changes})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert user.get(f"/v1/files/{file['id']}").json() == file


def test_an_expiry_is_kept(user: httpx2.Client) -> None:
    """A file goes at its time; null gives the plan's own retention back."""
    file = create(user)
    kept = create(user)
    until_then = datetime.now(UTC) + timedelta(days=2)
    assert user.patch(f"/v1/files/{kept['id']}", json={"expires_at": until_then.isoformat()}).status_code == 200
    again = user.patch(f"/v1/files/{kept['id']}", json={"expires_at": None}).json()
    soon = datetime.now(UTC) + timedelta(seconds=1)
    assert user.patch(f"/v1/files/{file['id']}", json={"expires_at": soon.isoformat()}).status_code == 200

    until(lambda: user.get(f"/v1/files/{file['id']}").status_code == 404)
    assert user.get(file["url"]).status_code == 404
    assert datetime.fromisoformat(again["expires_at"]) > until_then + timedelta(days=80)


def test_a_deleted_file_is_gone(user: httpx2.Client) -> None:
    """204, then 404 for its description, bytes, links and short link; its room is free again."""
    file = create(user, bytes(1000))
    link = user.post(f"/v1/files/{file['id']}/links", json={}).json()["url"]
    assert user.delete(f"/v1/files/{file['id']}").status_code == 204

    for url in (f"/v1/files/{file['id']}", file["url"], file["short_url"], link):
        assert user.get(url).status_code == 404, url
    assert user.delete(f"/v1/files/{file['id']}").status_code == 404
    assert usage(user) == EMPTY


def test_the_list_is_filtered(user: httpx2.Client) -> None:
    """By letters of the name in any case, by type or family, by time."""
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(40)
    files = [create(user, png, "Holiday.png"), create(user, b"plain text", "holiday.txt"), create(user, b"{}", "50%_a")]

    def names(**query: str) -> set[str]:
        answer = user.get("/v1/files", params=query)
        assert answer.status_code == 200, answer.text
        return {file["name"] for file in answer.json()["files"]}

    assert names(name="HOLI") == {"Holiday.png", "holiday.txt"}
    assert names(name="%_") == {"50%_a"}
    assert names(type="image/") == names(type="image/*") == names(type="image/png") == {"Holiday.png"}
    assert names(type="image/p") == set()
    assert names(created_after=files[1]["created_at"]) == {"holiday.txt", "50%_a"}
    assert names(created_before=files[1]["created_at"]) == {"Holiday.png"}
    assert names(created_after="2999-01-01") == set()


def test_unknown_parameters_are_named(user: httpx2.Client) -> None:
    """A misspelt filter is no filter: it is refused, not ignored."""
    answer = user.get("/v1/files", params={"nmae": "x"})

    assert (answer.status_code, answer.json()["code"]) == (422, "fields_invalid")
    assert answer.json()["errors"][0]["field"] == "query.nmae"


def test_past_the_wait_the_answer_is_202(make_server: Callable[..., Any]) -> None:
    """A completion that takes longer than a request waits goes on behind, and its upload tells how it ended."""
    server = make_server(CARRYALL_COMPLETE_WAIT="0")
    with new_user(server) as user:
        raw = user.post("/v1/files", content=b"later", params={"filename": "later.txt"})
        form = user.post("/v1/files", files=[("file", ("1", b"1")), ("file", ("2", b"2"))])
        wrong = user.post("/v1/files", content=b"later", headers={"Repr-Digest": f"sha-256=:{'A' * 43}=:"})
        for answer in (raw, form, wrong):
            assert (answer.status_code, answer.json()["status"]) == (202, "completing")
            assert answer.headers["Location"] == answer.json()["status_url"]
        for answer, state in ((raw, "sealed"), (form, "sealed"), (wrong, "aborted")):
            until(lambda url=answer.headers["Location"], state=state: user.get(url).json()["state"] == state)

        told = user.get(raw.headers["Location"]).json()
        assert user.get(user.get(told["file_url"]).json()["url"]).content == b"later"
        assert usage(user) == {"stored_bytes": 7, "reserved_bytes": 0, "files": 3, "open_uploads": 0}
