"""The socket that the described user interface of blobs uploads by, with the `websockets` library as its peer."""

import hashlib
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

MEBIBYTE = 1 << 20
DATA = os.urandom(300_000)


@dataclass
class User:
    """A user of a server; opens sockets."""

    server: Any
    name: str
    token: str
    http: httpx2.Client
    stack: ExitStack

    def open(self, *, token: str | None = None, **options: Any) -> ClientConnection:
        """Open a socket and send the token."""
        url = self.server.url.replace("http://", "ws://") + "/upload_socket"
        one = self.stack.enter_context(connect(url, max_size=None, proxy=None, close_timeout=2, **options))
        one.send(self.token if token is None else token)
        return one

    def signed_in(self, **options: Any) -> ClientConnection:
        """Open a socket and read whose it is."""
        one = self.open(**options)
        assert f"user is: {self.name}" == one.recv(timeout=10)
        return one

    def files(self) -> list[str]:
        """Give the names of the user's files, newest first."""
        return [record["file_name"] for record in self.http.get("/list").json()]

    def room(self) -> int:
        """Give the bytes that the user's files have."""
        return int(self.http.get(f"/user/{self.name}").json()["total_size"])


@pytest.fixture
def join() -> Iterator[Callable[..., User]]:
    """Make users on a server; limits make them a plan of their own."""
    with ExitStack() as stack:

        def make(server: Any, **limits: int) -> User:
            name = f"user-{secrets.token_hex(4)}"
            with server.client(headers=server.admin) as admin:
                if limits:
                    assert 200 == admin.put(f"/v1/plans/{name}", json=limits).status_code
                made = admin.post("/v1/users", json={"name": name, "plan": name if limits else None})
                assert 201 == made.status_code, made.text
                token = admin.get(f"/user/{name}").json()["token"]
            http = stack.enter_context(server.client(headers=server.bearer(token)))
            return User(server, name, token, http, stack)

        yield make


@pytest.fixture
def user(server: Any, join: Callable[..., User]) -> User:
    """A user of the shared server."""
    return join(server)


def told(one: ClientConnection) -> dict[str, Any]:
    """Read an answer about a file."""
    return dict(json.loads(one.recv(timeout=20)))


def ended(one: ClientConnection) -> int:
    """Wait for the end of a socket; give its code."""
    with pytest.raises(ConnectionClosed) as end:
        one.recv(timeout=20)
    assert end.value.rcvd is not None
    return int(end.value.rcvd.code)


def until(is_so: Callable[[], bool]) -> bool:
    """Wait until something is so; give whether it came to be."""
    deadline = time.monotonic() + 10
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def available(user: User) -> str:
    """Give the room that is left to a user, as the answer to an empty file tells it."""
    one = user.signed_in()
    one.send("nothing")
    one.send(b"")
    return str(told(one)["available_space"])


# --- what the interface does -----------------------------------------------------------------------------------------


def test_files_one_after_another(user: User) -> None:
    """A token, then names and bytes in turns: each file is answered as an upload is, in order."""
    one = user.signed_in()
    answers = []
    for name, data in (("фото 1.png", DATA), ("empty", b""), ("a.txt", b"a")):
        one.send(name)
        one.send(data)
        answers.append((told(one), data))

    assert ["a.txt", "empty", "фото 1.png"] == user.files()
    assert all({"file_id", "file_url", "show_image", "available_space", "filename"} == a.keys() for a, _ in answers)
    assert [data for _, data in answers] == [user.http.get(answer["file_url"]).content for answer, _ in answers]


def test_files_sent_without_waiting(user: User) -> None:
    """An interface sends all the files that were dropped at once; each has its answer."""
    one = user.signed_in()
    for n in range(20):
        one.send(f"{n}.txt")
        one.send(f"{n}".encode() * 1000)

    assert [f"{n}.txt" for n in range(20)] == [told(one)["filename"] for _ in range(20)]


def test_fragments(user: User) -> None:
    """A file may come in as many fragments as its client likes."""
    one = user.signed_in()
    one.send("parts.bin")
    one.send([DATA[at : at + 999] for at in range(0, len(DATA), 999)])

    assert DATA == user.http.get(told(one)["file_url"]).content


def test_a_large_file_is_never_held(make_server: Callable[..., Any], join: Callable[..., User]) -> None:
    """A file of 200 MB in one frame lands as it comes: the server's memory doesn't grow with it."""
    server = make_server()
    user = join(server, max_file_bytes=300 * MEBIBYTE, total_bytes=600 * MEBIBYTE)
    one = user.signed_in()
    one.send("small.bin")
    one.send(DATA)
    told(one)
    before = server.rss_bytes()
    piece = os.urandom(MEBIBYTE)
    one.send("large.bin")
    frame = Frame(Opcode.BINARY, piece * 200).serialize(mask=True)
    one.socket.sendall(frame)
    answer = told(one)
    digest = hashlib.sha256()
    with user.http.stream("GET", answer["file_url"]) as download:
        for chunk in download.iter_bytes():
            digest.update(chunk)

    assert server.rss_bytes() - before < 40 * MEBIBYTE
    assert hashlib.sha256(piece * 200).digest() == digest.digest()


def test_a_page_of_another_origin_may_call(user: User) -> None:
    """While all origins are allowed, any page may open a socket: without the token it has nothing."""
    assert "user is" in str(user.open(origin="https://ui.example.org").recv(timeout=10))


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["cya_wrong", "", "nobody's"])
def test_a_wrong_token(user: User, token: str) -> None:
    """A wrong token is told as what it is, and ends the socket."""
    one = user.open(token=token)
    answer = told(one)

    assert (401, "token_invalid" if token else "token_missing") == (answer["status_code"], answer["code"])
    assert answer["detail"] == answer["error"]
    assert 1008 == ended(one)


def test_the_service_is_no_user(server: Any, user: User) -> None:
    """Tokens of other surfaces are worth nothing here."""
    for token in (server.service_token, server.jwt("alice")):
        assert "token_invalid" == told(user.open(token=token))["code"]


def test_a_token_that_ends_meanwhile(user: User) -> None:
    """A socket doesn't outlive its token: the next file is refused."""
    one = user.signed_in()
    assert 200 == user.http.get(f"/user/{user.name}", params={"function": "change_token"}).status_code
    one.send("late.txt")
    one.send(b"late")

    assert "token_invalid" == told(one)["code"]


def test_a_token_without_the_right(user: User) -> None:
    """A token that may only read can't upload."""
    made = user.http.post("/v1/tokens", json={"scopes": ["read"]})
    assert 201 == made.status_code, made.text
    one = user.open(token=made.json()["token"])
    assert "scope_missing" == told(one)["code"]
    assert 1008 == ended(one)


def test_origins(make_server: Callable[..., Any], join: Callable[..., User]) -> None:
    """Where origins are named, a page of another one gets no socket; ours and programs do (threat 23)."""
    user = join(make_server(ALLOWED_ORIGINS="https://ui.example.org"))
    for origin in ("https://ui.example.org", user.server.url, None):
        assert "user is" in str(user.open(origin=origin).recv(timeout=10))
    for origin in ("https://evil.example.org", "null", "https://ui.example.org.evil.example.org"):
        with pytest.raises(InvalidStatus) as refusal:
            user.open(origin=origin)
        response = refusal.value.response
        assert (403, "origin_refused") == (response.status_code, json.loads(response.body or b"")["code"])


def test_the_rate_counts_files(server: Any, join: Callable[..., User]) -> None:
    """Signing in and every file count as requests; past the rate a file is refused and the socket stays."""
    user = join(server, requests_per_minute=4)
    one = user.signed_in()
    codes = []
    for n in range(5):
        one.send(f"{n}")
        one.send(b"x")
        codes.append(told(one).get("code"))

    assert [None, None, None, "rate_limited", "rate_limited"] == codes


# --- limits ----------------------------------------------------------------------------------------------------------


def test_too_large_by_its_head(server: Any, join: Callable[..., User]) -> None:
    """A frame that says it is larger than a file may be is refused before its bytes come, and ends the socket."""
    user = join(server, max_file_bytes=1000)
    one = user.signed_in()
    one.send("huge.bin")
    one.socket.sendall(bytes([0x82, 0xFF]) + (1 << 50).to_bytes(8, "big") + b"mask" + bytes(100))
    answer = told(one)

    assert (413, "too_large") == (answer["status_code"], answer["code"])
    assert 1009 == ended(one)
    assert [] == user.files()


def test_one_byte_too_many(server: Any, join: Callable[..., User]) -> None:
    """The limit is taken and one byte more isn't, whole or in fragments; the socket goes on with the next file."""
    user = join(server, max_file_bytes=100_000)
    one = user.signed_in()
    codes = []
    for data in (bytes(100_000), bytes(100_001), [bytes(50_000)] * 3, b"next"):
        one.send("a.bin")
        one.send(data)
        codes.append(told(one).get("code"))

    assert [None, "too_large", "too_large", None] == codes
    assert 100_004 == user.room()


def test_over_quota(server: Any, join: Callable[..., User]) -> None:
    """What doesn't fit the room is refused, and what was reserved for it is given back."""
    user = join(server, total_bytes=100_000)
    one = user.signed_in()
    codes = []
    for data in (bytes(60_000), bytes(60_000), [bytes(30_000)] * 2, bytes(40_000)):
        one.send("a.bin")
        one.send(data)
        codes.append(told(one).get("code"))

    assert [None, "quota_exceeded", "quota_exceeded", None] == codes
    assert 100_000 == user.room()


def test_a_file_without_a_name(user: User) -> None:
    """An empty name is refused as a form's is; a name that is too long, too; the next file is taken."""
    one = user.signed_in()
    codes = []
    for name in ("", "x" * 5000, "good"):
        one.send(name)
        one.send(b"data")
        codes.append(told(one).get("code"))

    assert ["filename_missing", "name_too_long", None] == codes
    assert ["good"] == user.files()


# --- what can't be understood ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [["name", "text instead of bytes"], [b"bytes without a name"]])
def test_messages_out_of_turn(user: User, wrong: list[Any]) -> None:
    """A text where bytes should come, or bytes where a name should, end the socket: what follows has no meaning."""
    one = user.signed_in()
    for message in wrong:
        one.send(message)

    assert (400, "message_out_of_turn") == ((answer := told(one))["status_code"], answer["code"])
    assert 1003 == ended(one)
    assert [] == user.files()


def test_a_token_in_bytes(user: User) -> None:
    """Bytes are no token, however many come."""
    url = user.server.url.replace("http://", "ws://") + "/upload_socket"
    with connect(url, proxy=None, close_timeout=2) as raw:
        raw.send(bytes(5_000_000))
        assert "message_out_of_turn" == told(raw)["code"]
        assert 1003 == ended(raw)


def test_an_endless_text(user: User) -> None:
    """A text is a name or a token: one that is longer than any ends the socket, in one frame or in fragments."""
    for text in ("x" * 1_000_000, ["x" * 10_000] * 100):
        one = user.signed_in()
        with suppress(ConnectionClosed):  # the answer may come while it is still sent
            one.send(text)
        assert 1009 == ended(one)
    one, kinds = user.signed_in(), [Opcode.TEXT] + [Opcode.CONT] * 100_000
    one.socket.sendall(b"".join(Frame(kind, b"", fin=False).serialize(mask=True) for kind in kinds))
    assert 1009 == ended(one)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x82\x05hello",  # not masked
        b"\xc2\x85maskhello",  # said to be compressed, which nobody agreed on
        b"\x83\x85maskhello",  # no known kind
        b"\x80\x85maskhello",  # goes on with a message that hasn't begun
        b"\x89\xff" + bytes(7) + b"\xff" + b"mask" + bytes(255),  # a ping of 255 bytes
    ],
)
def test_broken_frames(user: User, frame: bytes) -> None:
    """What isn't a frame of the protocol ends the socket (RFC 6455 §5), and nothing else."""
    one = user.signed_in()
    one.socket.sendall(frame)

    assert 1002 == ended(one)
    assert "ok" == user.http.get("/health").json()["status"]


def test_a_cut_leaves_nothing(user: User) -> None:
    """A file whose connection is cut was never sent: no file, no room taken, nothing in the staging."""
    one = user.signed_in()
    one.send("cut.bin")
    one.socket.sendall(Frame(Opcode.BINARY, bytes(5_000_000)).serialize(mask=True)[:2_000_000])
    staged = user.server.data_dir / "staging"
    assert until(lambda: any(path.is_file() for path in staged.rglob("*")))
    one.socket.shutdown(socket.SHUT_RDWR)

    assert until(lambda: "body_truncated" in user.server.log())
    assert [] == user.files()
    assert "500.000 MB" == available(user)


def test_a_silent_client(make_server: Callable[..., Any], join: Callable[..., User]) -> None:
    """Silence ends a socket where it is the client's turn: before the token and within a file, not between files."""
    user = join(make_server(CARRYALL_BODY_IDLE_S="1"))
    url = user.server.url.replace("http://", "ws://") + "/upload_socket"
    with connect(url, proxy=None, close_timeout=2) as silent:
        waiting = user.signed_in()
        stalled = user.signed_in()
        stalled.send("slow.bin")
        stalled.socket.sendall(Frame(Opcode.BINARY, bytes(1000)).serialize(mask=True)[:500])

        assert "body_stalled" == told(silent)["code"]
        assert 1008 == ended(silent)
        assert "body_stalled" == told(stalled)["code"]
        assert 1008 == ended(stalled)
    waiting.send("later.bin")
    waiting.send(b"later")
    assert "file_id" in told(waiting)


def test_a_stop_waits_for_the_file(make_server: Callable[..., Any], join: Callable[..., User]) -> None:
    """A server that stops takes the file that is under way, answers, and leaves with status 0; others hear 1012."""
    server = make_server()
    user = join(server)
    waiting, sending = user.signed_in(), user.signed_in()
    sending.send("last.bin")
    wire = Frame(Opcode.BINARY, DATA).serialize(mask=True)
    sending.socket.sendall(wire[:100_000])
    assert until(lambda: "upload.started" in server.log())
    server.process.send_signal(signal.SIGTERM)

    assert 1012 == ended(waiting)
    sending.socket.sendall(wire[100_000:])
    assert "file_id" in told(sending)
    assert 1012 == ended(sending)
    assert 0 == server.stop()
