"""Blobs over real sockets: what the described system promises, and what its original got wrong."""

import json
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote

import httpx2
import pytest

from carryall.auth.signing import Signer

MEBIBYTE = 1 << 20
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(40)
HIDDEN = "[hidden...]"
SECRET_KEY = "a key for the signatures of these tests"
NASTY_NAMES = [
    "фото 1.png",
    "写真.bin",
    'a"b\\c.txt',
    "semi;colon=1.txt",
    "%41%0d%0aSet-Cookie: a=b.txt",
    "😀" * 60 + ".txt",
    "..",
    "../../etc/passwd",
    "CON",
    "x" * 300 + ".txt",
]


@dataclass
class User:
    """A user with a client that sends their token."""

    name: str
    token: str
    client: httpx2.Client

    def send(self, data: bytes, name: str = "a.bin", **options: Any) -> httpx2.Response:
        """Upload one file."""
        return self.client.post("/upload", files={"file": (name, data)}, **options)

    def stored(self, data: bytes, name: str = "a.bin") -> str:
        """Upload one file that has to be taken; give its short id."""
        answer = self.send(data, name)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["file_id"])

    def record(self) -> dict[str, Any]:
        """Give the user's record as they see it."""
        answer = self.client.get(f"/user/{quote(self.name, safe='')}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def list(self) -> list[dict[str, Any]]:
        """Give the user's files."""
        answer = self.client.get("/list")
        assert answer.status_code == 200, answer.text
        return list(answer.json())


@pytest.fixture
def join() -> Iterator[Callable[..., User]]:
    """Make users on a server, by the administrator; limits make them a plan of their own."""
    with ExitStack() as stack:

        def make(server: Any, name: str | None = None, **limits: int) -> User:
            name = name or f"user-{secrets.token_hex(4)}"
            with server.client(headers=server.admin) as admin:
                if limits:
                    assert 200 == admin.put(f"/v1/plans/{name}", json=limits).status_code
                made = admin.post("/v1/users", json={"name": name, "plan": name if limits else None})
                assert 201 == made.status_code, made.text
                token = admin.get(f"/user/{quote(name, safe='')}").json()["token"]
            client = stack.enter_context(server.client(headers=server.bearer(token)))
            return User(name, token, client)

        yield make


@pytest.fixture(scope="module")
def proxied(make_module_server: Callable[..., Any]) -> Any:
    """A server behind a proxy on this machine, so that tests can come from many addresses."""
    return make_module_server(CARRYALL_TRUSTED_PROXIES="127.0.0.1", ALLOWED_USERS="dora,emil")


@pytest.fixture(scope="module")
def closed(make_module_server: Callable[..., Any]) -> Any:
    """A server whose short links ask for their owner's token."""
    return make_module_server(CARRYALL_SHORT_LINKS="bearer", CARRYALL_SECRET_KEY=SECRET_KEY)


@pytest.fixture
def user(server: Any, join: Callable[..., User]) -> User:
    """A new user on the shared server."""
    return join(server)


@pytest.fixture
def visitor(server: Any) -> Iterator[httpx2.Client]:
    """Somebody without a token on the shared server."""
    with server.client() as client:
        yield client


def raw(server: Any, head: str, body: bytes = b"") -> bytes:
    """Send a request as it stands, end the sending, and give all that comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
        if body:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def form(field: str, *parts: tuple[str, bytes]) -> bytes:
    """Write a form with the boundary `b`."""
    made = b""
    for name, data in parts:
        made += f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
        made += data + b"\r\n"
    return made + b"--b--\r\n"


def eventually(holds: Callable[[], bool]) -> bool:
    """Tell whether something comes true within the 2 s that the server has to notice a client that went away."""
    deadline = time.monotonic() + 2
    while not (true := holds()) and time.monotonic() < deadline:
        pass
    return true


def age(server: Any, short_id: str, **moments: datetime) -> None:
    """Turn back a file's times in the catalog, as if it had lain there for long."""
    for column, moment in moments.items():
        statement = f"UPDATE files SET {column} = $1 WHERE short_id = $2"  # noqa: S608  # our own column names
        assert 1 == server.change_catalog(statement, int(moment.timestamp() * 1_000_000), short_id)


def is_problem(answer: httpx2.Response, status: int, code: str) -> bool:
    """Tell whether an answer refuses with this status and code, and a sentence as its `detail`."""
    body = answer.json()
    return answer.status_code == status and body["code"] == code and isinstance(body["detail"], str)


# --- uploads ---------------------------------------------------------------------------------------------------------


def test_upload_answers_what_the_text_promises(server: Any, user: User) -> None:
    """The answer has the four keys of the text, and the room that is left in MiB with three decimals."""
    answer = user.send(bytes(9_961_472), "holiday.bin")

    short_id = answer.json()["file_id"]
    assert re.fullmatch(r"[A-Za-z0-9]{8}", short_id)
    assert 200 == answer.status_code
    assert {
        "file_id": short_id,
        "file_url": f"{server.url}/s/{short_id}",
        "show_image": f"{server.url}/s/{short_id}?output=html",
        "available_space": "490.500 MB",
    } == answer.json()


def test_a_plan_without_a_limit_is_said(server: Any) -> None:
    """Whoever has no limit on their room reads "unlimited"."""
    with server.client(headers=server.admin) as admin:
        answer = admin.post("/upload", files={"file": ("a.bin", b"a")})

    assert (200, "unlimited") == (answer.status_code, answer.json()["available_space"])


def test_b3_too_large_is_413(make_server: Callable[..., Any], join: Callable[..., User]) -> None:
    """A file of the limit is taken, one byte more is 413, and so is a full room; nothing of either is kept."""
    user = join(make_server(FILE_SIZE_LIMIT_MB="1", TOTAL_SIZE_LIMIT_MB="2.5"))

    assert 200 == user.send(bytes(MEBIBYTE)).status_code
    assert is_problem(user.send(bytes(MEBIBYTE + 1)), 413, "too_large")
    assert "0.500 MB" == user.send(bytes(MEBIBYTE)).json()["available_space"]
    assert is_problem(user.send(bytes(MEBIBYTE)), 413, "quota_exceeded")
    assert 2 * MEBIBYTE == user.record()["total_size"]


@pytest.mark.parametrize("path", ["/upload", "/upload_batch"])
def test_b4_refused_before_the_body(server: Any, user: User, path: str) -> None:
    """A wrong token, or more bytes than may come, is refused before the first byte of the body is asked for."""
    head = (
        "POST {path} HTTP/1.1\nHost: x\nAuthorization: Bearer {token}\nContent-Length: {size}\n"
        "Content-Type: multipart/form-data; boundary=b\nExpect: 100-continue\nConnection: close\n"
    )

    assert raw(server, head.format(path=path, token="wrong", size=200_000_000)).startswith(b"HTTP/1.1 401 ")
    assert raw(server, head.format(path=path, token=user.token, size=10**13)).startswith(b"HTTP/1.1 413 ")
    assert [] == user.list()


def test_b5_parallel_uploads_never_pass_the_quota(server: Any, join: Callable[..., User]) -> None:
    """Of eight parallel uploads into a room for two, two are taken, six are 413, and the counters agree."""
    user = join(server, max_file_bytes=MEBIBYTE, total_bytes=2 * MEBIBYTE + 100_000)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: user.send(bytes(MEBIBYTE)), range(8)))

    assert [200] * 2 + [413] * 6 == sorted(answer.status_code for answer in answers)
    assert all(float(a.json()["available_space"].split()[0]) >= 0 for a in answers if a.status_code == 200)
    assert 2 * MEBIBYTE == user.record()["total_size"]
    assert 200 == user.client.delete("/delete_all?confirm=yes").status_code
    assert 200 == user.send(bytes(MEBIBYTE)).status_code


def test_b5_an_upload_reserves_no_more_than_it_brings(server: Any, join: Callable[..., User]) -> None:
    """While one upload is half there, another one that fits beside it is taken; then the first one is, too."""
    user = join(server, total_bytes=2 * MEBIBYTE + 100_000)
    body = form("file", ("slow.bin", bytes(MEBIBYTE)))
    head = (
        f"POST /upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
        slow.sendall(head.encode() + body[: MEBIBYTE // 2])
        eventually(lambda: user.name in server.log())
        beside = user.send(bytes(MEBIBYTE))
        slow.sendall(body[MEBIBYTE // 2 :])
        answer = b"".join(iter(lambda: slow.recv(65536), b""))

    assert 200 == beside.status_code
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert 2 * MEBIBYTE == user.record()["total_size"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (form("other", ("a.txt", b"a")), 422, "file_missing"),
        (form("file", ("", b"a")), 400, "filename_missing"),
        (form("file", ("a.txt", b"a"))[:-8], 400, "form_truncated"),
        (form("file", ("a.txt", b"a"), ("b.txt", b"b")), 413, "form_too_many_parts"),
        (b"", 400, "form_truncated"),
    ],
    ids=["other part", "no name", "cut", "two files", "empty"],
)
def test_bad_forms_are_refused(user: User, body: bytes, status: int, code: str) -> None:
    """A form without its file, its name or its end is refused with a sentence, and leaves nothing."""
    answer = user.client.post("/upload", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})

    assert is_problem(answer, status, code)
    assert [] == user.list()


def test_a_batch_answers_for_each_file(server: Any, user: User) -> None:
    """Several files are taken each for itself, in order; the answer is an array of what one upload answers."""
    answer = user.client.post("/upload_batch", files=[("files", (f"{n}.txt", bytes([65 + n]))) for n in range(3)])

    assert 200 == answer.status_code
    assert ["0.txt", "1.txt", "2.txt"] == [one["filename"] for one in answer.json()]
    assert [b"A", b"B", b"C"] == [user.client.get(one["file_url"]).content for one in answer.json()]
    assert {f"{server.url}/s/{one['file_id']}?output=html" for one in answer.json()} == {
        one["show_image"] for one in answer.json()
    }


def test_a_batch_keeps_the_others(server: Any, join: Callable[..., User]) -> None:
    """Where a file is refused the answer is 207, says why, and the files before and after it are kept."""
    user = join(server, max_file_bytes=MEBIBYTE // 2, total_bytes=2 * MEBIBYTE)
    files = [("a.txt", b"a"), ("large.bin", bytes(MEBIBYTE)), ("", b"nameless"), ("b.txt", b"b")]

    answer = user.client.post(
        "/upload_batch",
        content=form("files", *files),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    results = answer.json()
    assert 207 == answer.status_code
    assert [None, 413, 400, None] == [one.get("status_code") for one in results]
    assert ["too_large", "filename_missing"] == [one["code"] for one in results if "code" in one]
    assert results[1]["error"] == results[1]["detail"]
    assert ["a.txt", "b.txt"] == sorted(one["file_name"] for one in user.list())
    assert 2 == user.record()["total_size"]


def test_a_batch_fills_the_room_and_no_more(server: Any, join: Callable[..., User]) -> None:
    """Files that don't fit any more are refused one by one; smaller ones after them are still taken."""
    user = join(server, total_bytes=2_000_000)
    sizes = [700_000, 700_000, 700_000, 10]

    answer = user.client.post("/upload_batch", files=[("files", (f"{n}", bytes(n))) for n in sizes])

    assert (207, [None, None, "quota_exceeded", None]) == (answer.status_code, [a.get("code") for a in answer.json()])
    assert 1_400_010 == user.record()["total_size"]


def test_a_broken_batch_leaves_nothing(server: Any, user: User) -> None:
    """When the connection breaks in the middle of a batch no file of it is there, and its room is free again."""
    body = form("files", ("a.bin", bytes(100_000)), ("b.bin", bytes(100_000)))
    head = (
        f"POST /upload_batch HTTP/1.1\nHost: x\nAuthorization: Bearer {user.token}\nContent-Length: {len(body)}\n"
        "Content-Type: multipart/form-data; boundary=b\nConnection: close\n"
    )
    raw(server, head, body[:150_000])

    assert [] == user.list()
    assert eventually(lambda: user.send(b"").json()["available_space"] == "500.000 MB")


def test_a_batch_without_files_is_refused(user: User) -> None:
    """A batch needs at least one part `files`."""
    assert is_problem(user.client.post("/upload_batch", files={"file": ("a", b"a")}), 422, "file_missing")


# --- users and tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/user/alice", "/user/alice?function=change_token", "/list", "/auth"])
def test_b1_nobody_gets_anything_anonymously(visitor: httpx2.Client, path: str) -> None:
    """Without a token, or with one in the query, nobody reads a user, and nobody gets a token."""
    for answer in (visitor.get(path), visitor.get(path, params={"token": "x", "access_token": "x"})):
        assert is_problem(answer, 401, "token_missing")
        assert "Bearer" == answer.headers["www-authenticate"]


def test_b1_a_token_changes_nobody_elses(server: Any, user: User, join: Callable[..., User]) -> None:
    """Another user's record and token are missing, like those of a user who doesn't exist."""
    other = join(server)
    answers = [
        user.client.get(f"/user/{name}{query}")
        for name in (other.name, "no-such-user")
        for query in ("", "?function=change_token")
    ]

    assert all(is_problem(answer, 404, "user_not_found") for answer in answers)
    assert 1 == len({answer.text for answer in answers})
    assert 200 == other.client.get("/auth").status_code


def test_the_administrator_gets_a_first_token_once(proxied: Any) -> None:
    """A name in ALLOWED_USERS is made on the administrator's first call, which alone shows the token."""
    with proxied.client(headers=proxied.admin) as admin:
        with ThreadPoolExecutor(6) as pool:
            tokens = list(pool.map(lambda _: admin.get("/user/dora").json()["token"], range(6)))
        shown = [token for token in tokens if token != HIDDEN]

        assert 1 == len(shown)
        assert {"user": "dora", "token": shown[0]} == admin.get("/auth", headers=proxied.bearer(shown[0])).json()
        assert is_problem(admin.get("/user/frida"), 403, "user_not_allowed")
        assert is_problem(admin.get("/user/frida?function=change_token"), 403, "user_not_allowed")


def test_b13_nobody_is_allowed_unless_named(closed: Any) -> None:
    """Without ALLOWED_USERS there is no user, not even one without a name."""
    with closed.client(headers=closed.admin) as admin:
        assert is_problem(admin.get("/user/alice"), 403, "user_not_allowed")
        assert admin.get("/user/").status_code in (400, 404)


def test_a_record_has_the_described_fields(user: User) -> None:
    """A user sees their counters, times with an offset, and never their token."""
    fresh = user.record()
    short_id = user.stored(b"0123456789")
    user.client.get(f"/s/{short_id}")
    user.client.delete(f"/delete/{short_id}")
    record = user.record()

    assert HIDDEN == record.pop("token")
    assert (None, None) == (fresh["last_upload_at"], fresh["last_download_at"])
    for name in ("created_at", "last_upload_at", "last_download_at"):
        assert timedelta(0) == datetime.fromisoformat(record.pop(name)).utcoffset()
    assert {
        "user": user.name,
        "total_size": 0,
        "total_upload_times": 1,
        "total_upload_byte": 10,
        "total_download_times": 1,
        "total_download_byte": 10,
    } == record


def test_change_token_revokes_at_once(server: Any, user: User) -> None:
    """A changed token works from the answer on; the one before is unknown from then on."""
    path = f"/user/{user.name}?function=change_token"
    changed = user.client.get(path)
    new = server.bearer(changed.json()["token"])

    assert "no-store" == changed.headers["cache-control"]
    assert is_problem(user.client.get("/auth"), 401, "token_invalid")
    assert is_problem(user.client.get(path), 401, "token_invalid")
    assert user.name == user.client.get("/auth", headers=new).json()["user"]
    assert HIDDEN == user.client.get(f"/user/{user.name}?function=nonsense", headers=new).json()["token"]


def test_the_administrator_changes_a_token(server: Any, user: User) -> None:
    """The administrator's token changes anybody's, for users who lost theirs."""
    with server.client(headers=server.admin) as admin:
        token = admin.get(f"/user/{user.name}?function=change_token").json()["token"]

    assert is_problem(user.client.get("/auth"), 401, "token_invalid")
    assert 200 == user.client.get("/auth", headers=server.bearer(token)).status_code


def test_a_lesser_token_gains_nothing(server: Any, user: User) -> None:
    """A token that may only read neither writes nor deletes, and can't turn itself into the main token."""
    made = user.client.post("/v1/tokens", json={"scopes": ["read"]})
    assert 201 == made.status_code, made.text
    lesser = server.bearer(made.json()["token"])
    short_id = user.stored(b"a")

    for answer in (
        user.client.post("/upload", files={"file": ("a", b"a")}, headers=lesser),
        user.client.post("/upload_batch", files={"files": ("a", b"a")}, headers=lesser),
        user.client.delete(f"/delete/{short_id}", headers=lesser),
        user.client.delete("/delete_all?confirm=yes", headers=lesser),
        user.client.get(f"/user/{user.name}?function=change_token", headers=lesser),
    ):
        assert is_problem(answer, 403, "scope_missing")
    assert [short_id] == [one["file_id"] for one in user.client.get("/list", headers=lesser).json()]
    assert 200 == user.client.get("/auth").status_code


@pytest.mark.parametrize("name", ["zoë+tag@example.org", "a?c#d%2e;e", "..", "名前", "quote'\"<b>"])
def test_names_of_users_are_data(server: Any, join: Callable[..., User], name: str) -> None:
    """A user may be called anything that can be shown; the name goes into the path percent-encoded."""
    user = join(server, f"{secrets.token_hex(3)}{name}")
    user.stored(b"a")

    assert user.name == user.record()["user"]
    assert [user.name] == [one["user_id"] for one in user.list()]


def test_b14_tokens_are_kept_nowhere(server: Any, user: User) -> None:
    """Neither the data folder nor the log holds a user's token in clear."""
    user.stored(b"a")
    kept = b"".join(path.read_bytes() for path in server.data_dir.rglob("*") if path.is_file())

    assert user.token.encode() not in kept
    assert user.token not in server.log()


# --- lists, isolation, deleting --------------------------------------------------------------------------------------


def test_b2_users_never_see_each_other(server: Any, join: Callable[..., User]) -> None:
    """Two users who alternate see their own record, and their own files from the very upload on, every time."""
    pair = [join(server), join(server)]
    mine: dict[str, list[str]] = {one.name: [] for one in pair}
    for turn in range(150):
        for one in pair:
            if turn % 10 == 0:
                mine[one.name].insert(0, one.stored(one.name.encode(), f"{one.name}-{turn}"))
            assert mine[one.name] == [file["file_id"] for file in one.list()]
            assert one.name == one.record()["user"]


def test_the_list_is_whole_and_newest_first(user: User) -> None:
    """All files are listed however many there are, newest first, each with the described keys."""
    batch = [("files", (f"{n}.txt", b"x")) for n in range(201)]
    ids = [one["file_id"] for one in user.client.post("/upload_batch", files=batch).json()]
    listed = user.list()

    assert ids[::-1] == [one["file_id"] for one in listed]
    assert {
        "file_id": ids[-1],
        "file_name": "200.txt",
        "file_size": 1,
        "user_id": user.name,
        "download_times": 0,
        "upload_at": listed[0]["upload_at"],
        "last_download_at": None,
    } == listed[0]
    assert timedelta(0) == datetime.fromisoformat(listed[0]["upload_at"]).utcoffset()


def test_deleting_is_the_owners(server: Any, user: User, join: Callable[..., User]) -> None:
    """The owner deletes; for others the file is as missing as one that never was."""
    short_id, other = user.stored(b"mine"), join(server)
    foreign, unknown = other.client.delete(f"/delete/{short_id}"), other.client.delete("/delete/zzzzzzzz")
    unharmed = user.client.get(f"/s/{short_id}").content
    deleted = user.client.delete(f"/delete/{short_id}")

    assert (b"mine", {"message": "File deleted"}) == (unharmed, deleted.json())
    assert is_problem(foreign, 404, "file_not_found")
    assert foreign.text == unknown.text
    assert "File not found" == user.client.delete(f"/delete/{short_id}").json()["detail"]
    assert is_problem(user.client.get(f"/s/{short_id}"), 404, "file_not_found")


@pytest.mark.parametrize("path", ["/delete_all", "/delete_all/"])
def test_b12_delete_all_wants_a_yes(server: Any, user: User, join: Callable[..., User], path: str) -> None:
    """Both spellings answer directly; without a yes or with an unknown function nothing goes; others keep theirs."""
    other = join(server)
    other.stored(b"theirs")
    for n in range(3):
        user.stored(bytes(n))

    assert is_problem(user.client.delete(path), 400, "confirm_missing")
    assert "confirm=yes" in user.client.delete(path).json()["detail"]
    assert is_problem(user.client.delete(f"{path}?confirm=no"), 400, "confirm_missing")
    assert is_problem(user.client.delete(f"{path}?confirm=yes&function=some"), 400, "function_invalid")
    assert 3 == len(user.list())
    answer = user.client.delete(f"{path}?confirm=YES")
    assert (200, {"message": "All files deleted"}) == (answer.status_code, answer.json())
    assert ([], 1) == (user.list(), len(other.list()))
    assert 0 == user.record()["total_size"]


def test_b6_expired_is_by_the_last_access(server: Any, user: User) -> None:
    """`expired` deletes what nobody fetched for 90 days: by the last download, else by the upload."""
    long_ago = datetime.now(UTC) - timedelta(days=91)
    lately = datetime.now(UTC) - timedelta(days=89)
    idle, read, unread, fresh = (user.stored(b"x") for _ in range(4))
    age(server, idle, created_at=long_ago)
    age(server, read, created_at=long_ago, last_read_at=lately)
    age(server, unread, created_at=lately)

    answer = user.client.delete("/delete_all/?confirm=yes&function=expired")

    assert {"message": "All files not been download for 90 days are deleted"} == answer.json()
    assert {read, unread, fresh} == {one["file_id"] for one in user.list()}


# --- rates -----------------------------------------------------------------------------------------------------------


def test_b7_the_limiter_fires(server: Any, join: Callable[..., User]) -> None:
    """Past the rate a user gets 429 with Retry-After, whatever address they claim; another user goes on."""
    user, other = join(server, requests_per_minute=5), join(server)
    claims = [{"X-Forwarded-For": f"10.0.0.{n}"} for n in range(6)]
    answers = [user.client.get("/list", headers=claim) for claim in claims]
    refused = user.send(b"a")

    assert [200] * 5 + [429] == [answer.status_code for answer in answers]
    assert all(is_problem(one, 429, "rate_limited") for one in (answers[-1], refused))
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert 200 == other.client.get("/list").status_code


def test_guesses_are_slowed_down(proxied: Any, join: Callable[..., User]) -> None:
    """An address that guesses gets 429 after 60 misses, for hits too; other addresses read on."""
    user = join(proxied)
    short_id = user.stored(b"a")
    with proxied.client(headers={"X-Forwarded-For": "198.51.100.9"}) as guesser:
        answers = [guesser.get(f"/s/{n:08}") for n in range(61)]
        hit = guesser.get(f"/s/{short_id}")

    assert [404] * 60 + [429] == [answer.status_code for answer in answers]
    assert is_problem(hit, 429, "rate_limited")
    assert 1 <= int(hit.headers["retry-after"]) <= 60
    assert b"a" == user.client.get(f"/s/{short_id}").content


# --- short links -----------------------------------------------------------------------------------------------------


def test_a_short_link_gives_the_file(user: User, visitor: httpx2.Client) -> None:
    """`file`, `download`, nothing and nonsense give the bytes as an attachment, to whoever has the link."""
    short_id = user.stored(PNG, "image.png")
    for query in ("", "?output=file", "?output=download", "?output=nonsense"):
        answer = visitor.get(f"/s/{short_id}{query}")

        assert (200, PNG, "image/png") == (answer.status_code, answer.content, answer.headers["content-type"])
        assert 'attachment; filename="image.png"' == answer.headers["content-disposition"]
        assert "nosniff" == answer.headers["x-content-type-options"]


def test_a_short_link_gives_the_record(user: User, visitor: httpx2.Client) -> None:
    """`output=json` gives what the list says of the file."""
    short_id = user.stored(PNG, "image.png")

    assert user.list()[0] == visitor.get(f"/s/{short_id}?output=json").json()


def test_a_missing_short_link_says_so(user: User) -> None:
    """Unknown ids are 404 with a sentence in every form."""
    for query in ("", "?output=html", "?output=json"):
        answer = user.client.get(f"/s/doesntexist{query}")
        assert is_problem(answer, 404, "file_not_found")
        assert "File not found" == answer.json()["detail"]


@pytest.mark.parametrize("name", NASTY_NAMES, ids=range(len(NASTY_NAMES)))
def test_b8_any_name_comes_back(user: User, visitor: httpx2.Client, name: str) -> None:
    """The record has the name as it was sent; the header is ASCII and names the file in any script."""
    short_id = user.stored(b"x", name)
    header = visitor.get(f"/s/{short_id}").headers.raw
    disposition = next(value for key, value in header if key.lower() == b"content-disposition").decode("ascii")
    extended = re.search(r"filename\*=UTF-8''(\S+)", disposition)

    assert name == visitor.get(f"/s/{short_id}?output=json").json()["file_name"]
    assert not re.search(r"[\x00-\x1f\x7f]", disposition)
    if extended and len(name) < 255 and not set(name) & set("/\\"):
        assert name == unquote(extended[1], errors="strict")


class Page(HTMLParser):
    """Collects a page's tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text += data


@pytest.mark.parametrize("media", [PNG, b"no image"], ids=["image", "other"])
@pytest.mark.parametrize("name", ["<script>alert(1)</script>.png", "\"'><img src=x onerror=alert(1)>.png", "&lt;b&gt;"])
def test_b9_names_are_no_markup(user: User, visitor: httpx2.Client, name: str, media: bytes) -> None:
    """In the page a name is text, in elements and attributes, and the policy lets no script run."""
    short_id = user.stored(media, name)
    answer = visitor.get(f"/s/{short_id}?output=html")
    page = Page(answer.text)

    assert "text/html; charset=utf-8" == answer.headers["content-type"]
    assert {"html", "head", "meta", "title", "style", "body", "h1", "img", "p", "a"} >= {tag for tag, _ in page.tags}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert name.replace("/", "_") in page.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; img-src 'self'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy


def test_b9_active_content_does_not_run(user: User, visitor: httpx2.Client) -> None:
    """An HTML or SVG file of a user's is an attachment in a sandbox, whatever `output` says."""
    for name, data in (
        ("x.html", b"<script>alert(1)</script>"),
        ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ):
        short_id = user.stored(data, name)
        for output in ("file", "download"):
            answer = visitor.get(f"/s/{short_id}?output={output}")

            assert answer.headers["content-disposition"].startswith("attachment")
            assert "nosniff" == answer.headers["x-content-type-options"]
            assert "sandbox" in answer.headers["content-security-policy"]


def test_the_page_shows_the_image(user: User, visitor: httpx2.Client) -> None:
    """The page's `<img>` is /s/ID, works without a token, and is an image."""
    short_id = user.stored(PNG, "image.png")
    page = Page(visitor.get(f"/s/{short_id}?output=html").text)
    images = [attributes for tag, attributes in page.tags if tag == "img"]

    assert [{"src": f"/s/{short_id}", "alt": "image.png"}] == images
    assert "Image image.png" in page.text
    assert "image/png" == visitor.get(f"/s/{short_id}").headers["content-type"]


def test_b10_downloads_are_counted_exactly(proxied: Any, join: Callable[..., User]) -> None:
    """60 parallel downloads by 60 clients are 60; what a client repeats within minutes is one; pages are none."""
    user = join(proxied)
    short_id = user.stored(bytes(1000))

    def fetch(n: int) -> int:
        return user.client.get(f"/s/{short_id}", headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code

    with ThreadPoolExecutor(20) as pool:
        assert {200} == set(pool.map(fetch, [*range(60), *range(60)]))
    etag = user.client.head(f"/s/{short_id}").headers["etag"]
    user.client.get(f"/s/{short_id}?output=html")
    user.client.get(f"/s/{short_id}?output=json")
    user.client.get(f"/s/{short_id}", headers={"If-None-Match": etag})
    user.client.get(f"/s/{short_id}", headers={"Range": "bytes=10-"})

    record = user.record()
    assert 60 == user.list()[0]["download_times"]
    assert (60, 60_000) == (record["total_download_times"], record["total_download_byte"])


def test_b10_nobody_pretends_to_be_many(user: User, visitor: httpx2.Client) -> None:
    """Without a configured proxy, X-Forwarded-For makes no new clients: ten downloads are one."""
    short_id = user.stored(b"x")
    for n in range(10):
        visitor.get(f"/s/{short_id}", headers={"X-Forwarded-For": f"203.0.113.{n}"})

    assert 1 == user.list()[0]["download_times"]


def test_b11_bodies_are_as_they_are(user: User, visitor: httpx2.Client) -> None:
    """Never compressed; ranges are the file's own bytes; an unchanged file is 304; HEAD has the length and no body."""
    data = b"".join(n.to_bytes(2, "big") for n in range(50_000))
    path = f"/s/{user.stored(data, 'text.txt')}"
    squeezed = {"Accept-Encoding": "gzip, deflate, br"}
    whole = visitor.get(path, headers=squeezed)
    part = visitor.get(path, headers={**squeezed, "Range": "bytes=100-199"})
    head = visitor.head(path, headers=squeezed)

    assert (200, data, "100000") == (whole.status_code, whole.content, whole.headers["content-length"])
    assert (206, data[100:200]) == (part.status_code, part.content)
    assert ("bytes 100-199/100000", "100") == (part.headers["content-range"], part.headers["content-length"])
    assert (200, b"", "100000") == (head.status_code, head.content, head.headers["content-length"])
    assert not [answer for answer in (whole, part, head) if "content-encoding" in answer.headers]
    assert 304 == visitor.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code
    assert 416 == visitor.get(path, headers={"Range": "bytes=100000-"}).status_code


@pytest.mark.parametrize("output", ["html", "json"])
def test_b11_head_is_get_without_its_body(user: User, visitor: httpx2.Client, output: str) -> None:
    """HEAD of the page and of the record has GET's headers and nothing else, and the connection goes on."""
    path = f"/s/{user.stored(PNG, 'image.png')}?output={output}"
    head, get = visitor.head(path), visitor.get(path)

    assert (200, b"") == (head.status_code, head.content)
    assert len(get.content) == int(head.headers["content-length"])
    assert get.headers["content-type"] == head.headers["content-type"]


# --- short links that ask for a token --------------------------------------------------------------------------------


def test_a_closed_link_is_its_owners(closed: Any, join: Callable[..., User]) -> None:
    """Without a token 401, whether or not there is a file; with another user's 404; with the owner's the file."""
    user, other = join(closed), join(closed)
    short_id = user.stored(PNG, "image.png")
    with closed.client() as visitor:
        for query in ("", "?output=html", "?output=json", "?expires=99999999999&signature=x"):
            path = f"/s/{short_id}{query}"
            refused, unknown = visitor.get(path), visitor.get(f"/s/unknown{query}")

            assert is_problem(refused, 401, "token_missing")
            assert refused.text == unknown.text
            assert is_problem(other.client.get(path), 404, "file_not_found")
            assert 200 == user.client.get(path).status_code


def test_a_closed_page_shows_its_image(closed: Any, join: Callable[..., User]) -> None:
    """The page's image has a signed address that works without a token, for that file's bytes alone."""
    user = join(closed)
    short_id, second = user.stored(PNG, "image.png"), user.stored(b"second")
    page = Page(user.client.get(f"/s/{short_id}?output=html").text)
    address = next(attributes["src"] for tag, attributes in page.tags if tag == "img") or ""
    with closed.client() as visitor:
        shown = visitor.get(address)

        assert (200, PNG) == (shown.status_code, shown.content)
        assert 401 == visitor.get(f"{address}&output=json").status_code
        assert 401 == visitor.get(f"{address}&output=html").status_code
        assert 401 == visitor.get(address.replace(short_id, second)).status_code
        assert 401 == visitor.get(re.sub(r"expires=\d+", "expires=99999999999", address)).status_code
    ends_at = int(re.findall(r"expires=(\d+)", address)[0])
    assert 0 < ends_at - time.time() <= 600


def test_a_signed_address_ends(closed: Any, join: Callable[..., User]) -> None:
    """A genuine signature is worth nothing after its end, and one for another purpose never was."""
    user = join(closed)
    short_id, signer = user.stored(b"x"), Signer(SECRET_KEY)
    soon, past = (datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=s) for s in (60, -1))

    def address(purpose: str, end: datetime) -> str:
        signature = signer.sign(purpose, short_id, expires_at=end)
        return f"/s/{short_id}?expires={int(end.timestamp())}&signature={signature}"

    with closed.client() as visitor:
        assert 200 == visitor.get(address("short", soon)).status_code
        assert 401 == visitor.get(address("short", past)).status_code
        assert 401 == visitor.get(address("link", soon)).status_code


# --- the described system's own clients ------------------------------------------------------------------------------


def test_the_described_tests_pass(user: User) -> None:
    """The calls of the original's test file work in their order, with its keys."""
    uploaded = user.send(b"Hello", "test.txt").json()
    assert {"file_id", "file_url"} <= uploaded.keys()
    assert b"Hello" == user.client.get(uploaded["file_url"]).content
    assert {"file_id", "file_name", "file_size"} <= user.list()[0].keys()
    assert 200 == user.client.delete(f"/delete/{uploaded['file_id']}").status_code
    assert 200 == user.client.delete("/delete_all/?confirm=yes").status_code


def test_the_described_ui_works(user: User) -> None:
    """A browser app signs in by a pasted token, lists, and deletes in parallel, from another origin."""
    origin = {"Origin": "https://ui.example.org"}
    signed_in = user.client.get("/auth", headers=origin)
    ids = [user.stored(bytes(n)) for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        deleted = list(pool.map(lambda one: user.client.delete(f"/delete/{one}", headers=origin).status_code, ids))

    assert {"user": user.name, "token": user.token} == signed_in.json()
    assert "*" == signed_in.headers["access-control-allow-origin"]
    assert ([200] * 6, []) == (deleted, user.list())


def test_a_scoped_jwt_is_no_token_here(server: Any) -> None:
    """Tokens of the chunks surface and of relay are worth nothing on blobs' paths: nothing falls through."""
    with server.client() as client:
        for headers in (server.bearer(server.jwt("alice")), server.bearer(server.service_token)):
            assert is_problem(client.get("/list", headers=headers), 401, "token_invalid")
        assert is_problem(client.get("/list", headers=server.service), 401, "token_missing")


def test_openapi_tells_all_routes(visitor: httpx2.Client) -> None:
    """The document names every route of blobs, with an example of what it answers."""
    paths = visitor.get("/openapi.json").json()["paths"]
    wanted = {"/upload", "/upload_batch", "/s/{short_id}", "/list", "/delete/{file_id}", "/delete_all", "/auth"}

    assert wanted | {"/user/{user_id}"} <= paths.keys()
    assert {"get", "head"} <= paths["/s/{short_id}"].keys()
    assert "FileRecord" in json.dumps(paths["/list"]["get"]["responses"]["200"])
