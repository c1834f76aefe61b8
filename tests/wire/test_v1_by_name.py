"""Files by names of the owner's choice: kept, replaced, read, deleted; one file per name, whatever races."""

import http.client
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import run
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import pytest

BASE = "/v1/by-name/"
NASTY = [
    "..", "../../etc/passwd", ".", "a/./b", "a/../b", "/etc/passwd", "//x", "фото/снимок.png", "写真", "x y", "a?b#c",
    "%2e%2e%2f", "C:\\x.txt", "CON", "trailing.", "trailing ", "a\nb", "a\n", "a\r\nX: y", "\x1b[31m", "é", "e\u0301",
    "{path}", "�", "a" * 1024,
]  # fmt: skip


def make_user(server: Any, **token: Any) -> dict[str, str]:
    """Make a user by the API; give the headers of a token of theirs."""
    name = f"names-{secrets.token_hex(6)}"
    with server.client(headers=server.admin) as admin:
        assert admin.post("/v1/users", json={"name": name}).status_code == 201
        made = admin.post(f"/v1/users/{name}/tokens", json=token)
    assert made.status_code == 201, made.text
    headers: dict[str, str] = server.bearer(made.json()["token"])
    return headers


@pytest.fixture
def user(server: Any) -> Iterator[httpx2.Client]:
    """A user of whom nobody else knows."""
    with server.client(headers=make_user(server)) as client:
        yield client


def ask(
    client: httpx2.Client, method: str, target: str, body: bytes | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Send a request whose target goes over the wire exactly as it is written here."""
    place = urlsplit(str(client.base_url))
    with closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)) as wire:
        wire.request(method, target, body, {"Authorization": client.headers["Authorization"]})
        answer = wire.getresponse()
        return answer.status, answer.read(), answer.headers


def usage(client: httpx2.Client) -> dict[str, int]:
    """Give what the client's owner holds."""
    found = client.get("/v1/me").json()["usage"]
    return {name: found[name] for name in ("stored_bytes", "reserved_bytes", "files", "open_uploads")}


def test_a_put_creates_then_replaces(user: httpx2.Client) -> None:
    """201 and Location for a new name, 200 for one that is there; the file before is gone, and its room is free."""
    new = user.put(BASE + "dir/a.txt", content=b"first")
    old = user.put(BASE + "dir/a.txt", content=b"second one")

    assert (new.status_code, old.status_code) == (201, 200)
    assert new.headers["Location"] == str(user.base_url.join(BASE + "dir/a.txt"))
    assert (old.json()["path"], old.json()["name"]) == ("dir/a.txt", "a.txt")
    assert user.get(BASE + "dir/a.txt").content == b"second one"
    assert user.get(new.json()["url"]).status_code == 404
    assert usage(user) == {"stored_bytes": 10, "reserved_bytes": 0, "files": 1, "open_uploads": 0}


def test_curl_puts_and_gets(
    server: Any, user: httpx2.Client, tmp_path: Path, require_program: Callable[[str], str]
) -> None:
    """`curl -T FILE …/v1/by-name/` names the file itself, and sends a pipe without a length."""
    curl = [
        require_program("curl"),
        "--silent",
        "--fail",
        "--header",
        f"Authorization: {user.headers['Authorization']}",
    ]
    source = tmp_path / "фото 1.bin"
    source.write_bytes(secrets.token_bytes(3 << 20))
    run([*curl, "--upload-file", source, server.url + BASE], check=True, capture_output=True)
    run([*curl, "--upload-file", "-", server.url + BASE + "pipe"], input=b"piped", check=True, capture_output=True)
    got = run([*curl, server.url + BASE + quote(source.name)], check=True, capture_output=True).stdout

    assert got == source.read_bytes()
    assert user.get(BASE + "pipe").content == b"piped"


@pytest.mark.parametrize("name", NASTY)
def test_names_are_data(user: httpx2.Client, name: str) -> None:
    """Dots, slashes, control characters: every name is kept as it is, and leads to its own bytes alone."""
    target = BASE + quote(name, safe="")
    data = secrets.token_bytes(20)
    status, _, headers = ask(user, "PUT", target, data)

    assert status == 201
    assert headers["Location"].isascii()
    listed = user.get("/v1/files").json()["files"]
    assert [(name, name.rpartition("/")[2])] == [(file["path"], file["name"]) for file in listed]
    assert (200, data) == ask(user, "GET", target)[:2]
    assert ask(user, "GET", BASE + quote("~" + name[1:], safe=""))[0] == 404
    assert ask(user, "DELETE", target)[0] == 204


def test_unlike_names_stay_apart(user: httpx2.Client) -> None:
    """Names are compared byte by byte: composed and decomposed letters, cases and line feeds make other names."""
    names = ["é", "e\u0301", "a", "A", "a\n", "a ", "a/b", "a%2fb"]
    for name in names:
        assert ask(user, "PUT", BASE + quote(name, safe=""), name.encode())[0] == 201
    for name in names:
        assert ask(user, "GET", BASE + quote(name, safe=""))[1] == name.encode()


@pytest.mark.parametrize("target", ["", "dir/", "%2f", "a" * 1025, "a%00b", "%ff", "a%c3"])
def test_what_is_no_name_is_refused(user: httpx2.Client, target: str) -> None:
    """Empty, ending in a slash, too long, with a NUL, not UTF-8: 400 for every method, and nothing is kept."""
    for method in ("PUT", "GET", "DELETE"):
        status, body, _ = ask(user, method, BASE + target, b"x" if method == "PUT" else None)
        assert (status, b"path_invalid" in body) == (400, True), (method, body)
    assert usage(user)["files"] == 0


def test_a_taken_name_is_refused_before_a_byte(user: httpx2.Client) -> None:
    """If-None-Match: * is 412 for a name that is taken, before the body is asked for; 201 for a free one."""
    assert user.put(BASE + "a", content=b"1", headers={"If-None-Match": "*"}).status_code == 201
    place = urlsplit(str(user.base_url))
    with closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)) as wire:
        wire.putrequest("PUT", BASE + "a")
        for name, value in {
            "Authorization": user.headers["Authorization"],
            "If-None-Match": "*",
            "Content-Length": "9000000",
            "Expect": "100-continue",
        }.items():
            wire.putheader(name, value)
        wire.endheaders()
        answer = wire.getresponse()  # there is no 100 before it, and no byte of the body was sent
        body = answer.read()

    assert (answer.status, b"precondition_failed" in body) == (412, True)
    assert user.get(BASE + "a").content == b"1"


def test_a_put_holds_to_its_condition(user: httpx2.Client) -> None:
    """If-Match replaces only the file that was seen, `*` any that is there; otherwise 412 and nothing changes."""
    first = user.put(BASE + "a", content=b"1").headers["ETag"]

    def put(match: str, name: str = "a") -> int:
        return user.put(BASE + name, content=b"2", headers={"If-Match": match}).status_code

    assert put(first, "other") == put("*", "other") == put('"nonsense"') == put(f"W/{first}") == 412
    assert user.get(BASE + "a").content == b"1"
    assert put(first) == 200
    assert put(first) == 412
    assert put("*") == 200
    assert usage(user)["files"] == 1


def test_one_of_many_conditional_puts_wins(user: httpx2.Client) -> None:
    """Eight writers that saw the same file: one replaces it, seven are told that it isn't that file any more."""
    seen = user.put(BASE + "a", content=b"seen").headers["ETag"]

    def put(number: int) -> tuple[int, int]:
        return number, user.put(BASE + "a", content=b"%d" % number, headers={"If-Match": seen}).status_code

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(put, range(8)))
    winners = [number for number, status in ended if status == 200]

    assert sorted(status for _, status in ended) == [200] + [412] * 7
    assert user.get(BASE + "a").content == b"%d" % winners[0]
    assert usage(user) == {"stored_bytes": 1, "reserved_bytes": 0, "files": 1, "open_uploads": 0}


def test_one_of_many_creations_wins(user: httpx2.Client) -> None:
    """Eight writers that want a free name: one gets it."""

    def put(number: int) -> int:
        data = bytes([number]) * 300_000
        return user.put(BASE + "new", content=data, headers={"If-None-Match": "*"}).status_code

    with ThreadPoolExecutor(8) as pool:
        ended = sorted(pool.map(put, range(8)))

    assert ended == [201] + [412] * 7
    assert usage(user) == {"stored_bytes": 300_000, "reserved_bytes": 0, "files": 1, "open_uploads": 0}


def test_racing_puts_leave_one_file_and_no_bytes(make_server: Callable[..., Any]) -> None:
    """Eight PUTs of one name at once: one survives whole, the others' bytes go, and the doctor finds nothing wrong."""
    server = make_server()
    with server.client(headers=make_user(server)) as user:

        def put(number: int) -> int:
            return user.put(BASE + "race", content=bytes([number]) * 500_000).status_code

        with ThreadPoolExecutor(8) as pool:
            ended = list(pool.map(put, [number for number in range(8) for _ in range(3)]))

        assert set(ended) <= {200, 201}
        assert usage(user) == {"stored_bytes": 500_000, "reserved_bytes": 0, "files": 1, "open_uploads": 0}
        body = user.get(BASE + "race").content
        assert body == bytes([body[0]]) * 500_000
    kept = server.data_dir / "files"
    deadline = time.monotonic() + 15
    while len([path for path in kept.rglob("*") if path.is_file()]) > 1:
        assert time.monotonic() < deadline, "replaced bytes stay"
        time.sleep(0.05)
    server.cli("doctor")


def test_a_delete_holds_to_its_condition(user: httpx2.Client) -> None:
    """204 and gone; 404 when it isn't there; 412, and still there, when If-Match doesn't hold."""
    etag = user.put(BASE + "a", content=b"1").headers["ETag"]

    assert user.delete(BASE + "a", headers={"If-Match": '"other"'}).status_code == 412
    assert user.get(BASE + "a").status_code == 200
    assert user.delete(BASE + "a", headers={"If-Match": etag}).status_code == 204
    assert user.get(BASE + "a").status_code == user.delete(BASE + "a").status_code == 404
    assert user.put(BASE + "a", content=b"2").status_code == 201
    assert user.delete(BASE + "a").status_code == 204


def test_a_broken_replacement_leaves_the_old_file(user: httpx2.Client) -> None:
    """A body that breaks off, or isn't what was announced, replaces nothing."""
    assert user.put(BASE + "a", content=b"old").status_code == 201
    place = urlsplit(str(user.base_url))
    with closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)) as wire:
        wire.putrequest("PUT", BASE + "a")
        wire.putheader("Authorization", user.headers["Authorization"])
        wire.putheader("Content-Length", "1000000")
        wire.endheaders(b"cut")
    wrong = user.put(BASE + "a", content=b"new", headers={"Content-Digest": f"sha-256=:{'A' * 43}=:"})

    assert (wrong.status_code, wrong.json()["code"]) == (400, "digest_mismatch")
    assert user.get(BASE + "a").content == b"old"
    deadline = time.monotonic() + 15
    while usage(user) != {"stored_bytes": 3, "reserved_bytes": 0, "files": 1, "open_uploads": 0}:
        assert time.monotonic() < deadline, usage(user)
        time.sleep(0.05)


def test_a_name_whose_time_is_up_is_free(user: httpx2.Client) -> None:
    """A file that has expired counts as gone before its row is: its name is free, and nothing of it stays."""
    file = user.put(BASE + "a", content=b"old").json()
    soon = datetime.now(UTC) + timedelta(seconds=1)
    assert user.patch(f"/v1/files/{file['id']}", json={"expires_at": soon.isoformat()}).status_code == 200
    deadline = time.monotonic() + 15
    while user.get(BASE + "a").status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)

    assert user.delete(BASE + "a").status_code == 404
    assert user.put(BASE + "a", content=b"new", headers={"If-None-Match": "*"}).status_code == 201
    assert user.get(BASE + "a").content == b"new"
    assert usage(user)["files"] == 1


def test_names_are_per_owner(server: Any, user: httpx2.Client) -> None:
    """Two owners may have one name: neither sees, replaces or deletes the other's."""
    with server.client(headers=make_user(server)) as other:
        assert user.put(BASE + "same", content=b"mine").status_code == 201
        assert other.get(BASE + "same").status_code == other.delete(BASE + "same").status_code == 404
        assert other.put(BASE + "same", content=b"theirs", headers={"If-None-Match": "*"}).status_code == 201
        assert (user.get(BASE + "same").content, other.get(BASE + "same").content) == (b"mine", b"theirs")


def test_who_may_only_write_may_replace(server: Any) -> None:
    """A token with the scope write alone puts and replaces, and neither reads nor deletes."""
    with server.client(headers=make_user(server, scopes=["write"])) as writer:
        assert writer.put(BASE + "a", content=b"1").status_code == 201
        assert writer.put(BASE + "a", content=b"2").status_code == 200
        for refused in (writer.get(BASE + "a"), writer.delete(BASE + "a")):
            assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


def test_head_says_what_get_would(user: httpx2.Client) -> None:
    """HEAD gives the headers and no body."""
    user.put(BASE + "a", content=b"12345")
    head, get = user.head(BASE + "a"), user.get(BASE + "a")

    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Length", "ETag", "Content-Type", "Repr-Digest", "Last-Modified"):
        assert head.headers[name] == get.headers[name]
