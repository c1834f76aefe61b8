"""The server's protocol class, on both event loops: what came isn't lost, interim answers, trailers, slow headers."""

import asyncio
import fcntl
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import uvicorn

from carryall.http.server import INTERIM, TRAILERS, HttpProtocol, Waiting

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
Serve = Callable[..., tuple[str, int]]


@pytest.fixture(params=["asyncio", "uvloop"])
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Serve an application in a thread; give the address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: Any, **rules: Any) -> tuple[str, int]:
        listener = socket.create_server(("127.0.0.1", 0))
        protocol = partial(HttpProtocol, waiting=Waiting(**rules))
        config = uvicorn.Config(app, http=protocol, loop=request.param, lifespan="off", log_config=None)  # type: ignore[arg-type]
        server = uvicorn.Server(config)

        def run() -> None:
            with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.run(server.serve(sockets=[listener]))

        thread = threading.Thread(target=run)
        thread.start()
        running.append((server, thread))
        address: tuple[str, int] = listener.getsockname()
        return address

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


class Taker:
    """An application that takes a whole body, slowly if it is told to, and answers with its length."""

    def __init__(self) -> None:
        self.may_read = threading.Event()
        self.may_read.set()
        self.is_reading = threading.Event()
        self.is_over = threading.Event()
        self.body = b""
        self.end = ""
        self.headers: list[Any] = []
        self.trailers: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.is_reading.set()
        await asyncio.to_thread(self.may_read.wait)
        while True:
            message = await receive()
            self.end = message["type"]
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.headers, self.trailers = scope["headers"], list(scope["extensions"].get(TRAILERS, []))
        await reply(send, str(len(self.body)).encode())
        self.is_over.set()


async def reply(send: Any, body: bytes, status: int = 200) -> None:
    """Answer in two messages."""
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def talk(address: tuple[str, int], *pieces: bytes) -> bytes:
    """Send and give all that comes until the server closes."""
    with socket.create_connection(address, timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def unacknowledged(connection: socket.socket) -> int:
    """Give how many bytes the peer's kernel hasn't taken, once that stands still: a reset throws them away."""
    seen, still = -1, 0
    while still < 5:
        left = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]
        seen, still = left, still + 1 if left == seen else 0
        time.sleep(0.02)
    return seen


def close_by_reset(connection: socket.socket) -> None:
    """Close so that the peer gets a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("close", [socket.socket.close, close_by_reset])
@pytest.mark.parametrize("sent", [1, 5_000, 65_536, 65_537, 300_000])
def test_what_came_before_a_cut_is_given(serve: Serve, close: Callable[[socket.socket], None], sent: int) -> None:
    """Every byte that arrived reaches an application that reads only after the client is gone (fault 15)."""
    app = Taker()
    app.may_read.clear()
    address = serve(app)
    connection = socket.create_connection(address, timeout=10)
    connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * sent)
    assert app.is_reading.wait(5)
    if close is close_by_reset:
        sent -= unacknowledged(connection)
    close(connection)
    app.may_read.set()

    assert app.is_over.wait(10)
    assert (sent, "http.disconnect") == (len(app.body), app.end)


def test_a_whole_body_is_given_although_the_client_is_gone(serve: Serve) -> None:
    """A request that came whole is whole, whether or not anybody waits for its answer."""
    app = Taker()
    app.may_read.clear()
    connection = socket.create_connection(serve(app), timeout=10)
    connection.sendall(HEAD + b"Content-Length: 5\r\n\r\nhello")
    assert app.is_reading.wait(5)
    close_by_reset(connection)
    app.may_read.set()

    assert app.is_over.wait(10)
    assert (b"hello", "http.request") == (app.body, app.end)


@pytest.mark.parametrize(("length", "end"), [(5, "http.request"), (9, "http.disconnect")])
def test_who_ends_only_its_own_side_hears_the_answer(serve: Serve, length: int, end: str) -> None:
    """A half-closed connection is answered, also when the body was cut short by it, and closed then."""
    app = Taker()
    with socket.create_connection(serve(app), timeout=10) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\nhello" % length)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n5")
    assert (b"hello", end) == (app.body, app.end)


def test_trailers_are_given_behind_the_body(serve: Serve) -> None:
    """Trailer fields come in their own list, lower-case, and never pass for headers."""
    app = Taker()
    whole = CHUNKED + b"5\r\nhello\r\n0\r\nUpload-Checksum: sha1 abc=\r\nX-Other: 9\r\n\r\n"
    ask = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    answers = talk(serve(app), *(whole[at : at + 7] for at in range(0, len(whole), 7)), ask)

    assert 2 == answers.count(b"HTTP/1.1 200 OK")
    assert b"" == app.body.removeprefix(b"hello")
    assert [] == app.trailers  # the second request's


def test_trailers_belong_to_their_request(serve: Serve) -> None:
    """What came behind one body is that request's alone."""
    app = Taker()
    address = serve(app)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(CHUNKED + b"5\r\nhello\r\n0\r\nUpload-Checksum: sha1 abc=\r\nX: y\r\n\r\n")
        assert app.is_over.wait(5)

    assert [(b"upload-checksum", b"sha1 abc="), (b"x", b"y")] == app.trailers
    assert [(b"host", b"a"), (b"transfer-encoding", b"chunked")] == app.headers


@pytest.mark.parametrize(
    "flood",
    [
        b"".join(b"X-%d: y\r\n" % number for number in range(17)) + b"\r\n",
        b"X: " + b"y" * 9_000 + b"\r\n\r\n",
        b"X: " + b"y" * 1_000_000,
    ],
)
def test_trailers_are_bounded(serve: Serve, flood: bytes) -> None:
    """Too many trailers, or too large ones, end the connection, and the body isn't taken for whole."""
    app = Taker()
    answer = talk_to_a_closing_peer(serve(app), CHUNKED + b"5\r\nhello\r\n0\r\n" + flood)

    assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    assert app.is_over.wait(5)
    assert (b"hello", "http.disconnect") == (app.body, app.end)


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nX: ", CHUNKED + b"5;", b"\r\n" * 40_000, b"GET /"])
def test_a_head_or_a_chunks_header_has_an_end(serve: Serve, head: bytes) -> None:
    """What may stand between two pieces of content is bounded: it would be kept in memory."""
    answer = talk_to_a_closing_peer(serve(Taker()), head + b"x" * 1_000_000)

    assert not answer or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))


def talk_to_a_closing_peer(address: tuple[str, int], data: bytes) -> bytes:
    """Send to somebody who stops to read; give what they said, if the reset left it."""
    with socket.create_connection(address, timeout=10) as connection:
        try:
            for at in range(0, len(data), 4096):
                connection.sendall(data[at : at + 4096])
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            return b""


async def announcing(scope: Any, receive: Any, send: Any) -> None:
    """Announce before the body, and again when an answer has begun; tell what became of each."""
    interim = scope["extensions"].get(INTERIM)
    if interim is None:
        await reply(send, b"not offered")
        return
    first = await interim(104, [(b"Location", b"/u/1")])
    while (await receive()).get("more_body"):
        pass
    second = await interim(104, [(b"Upload-Offset", b"5")])
    await reply(send, f"{first} {second}".encode(), 460)
    assert not await interim(104, [])


def test_interim_answers_come_before_the_answer(serve: Serve) -> None:
    """A 104 comes before the body is asked for, more may follow, and none comes behind the answer's head."""
    address = serve(announcing)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(HEAD + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        seen = b""
        while b"100 Continue\r\n\r\n" not in seen:
            seen += connection.recv(4096)
        connection.sendall(b"hello")
        rest = b"".join(iter(lambda: connection.recv(65536), b""))

    assert b"HTTP/1.1 104 Upload Resumption Supported\r\nLocation: /u/1\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" == seen
    assert rest.startswith(b"HTTP/1.1 104 Upload Resumption Supported\r\nUpload-Offset: 5\r\n\r\nHTTP/1.1 460 ")
    assert b"HTTP/1.1 460 Checksum Mismatch\r\n" in rest
    assert rest.endswith(b"True True")


def test_no_interim_answer_for_http_1_0(serve: Serve) -> None:
    """HTTP/1.0 has no interim answers (RFC 9110 §15.2), so none is offered."""
    assert talk(serve(announcing), b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello").endswith(b"not offered")


def test_a_broken_interim_header_is_no_header(serve: Serve) -> None:
    """What would split a header is never sent."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        with pytest.raises(ValueError, match="header"):
            await scope["extensions"][INTERIM](104, [(b"Location", b"a\r\nb: c")])
        await reply(send, b"refused")

    assert talk(serve(app), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").endswith(b"refused")


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nX: y", b"\r\n"])
def test_a_header_that_doesnt_end_is_closed(serve: Serve, begun: bytes) -> None:
    """A connection whose header takes too long is closed, however it drips (threat 20)."""
    address = serve(Taker(), header_s=0.5)
    began = time.monotonic()
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(begun)
        while time.monotonic() - began < 0.4:
            time.sleep(0.05)
            connection.sendall(b"y" if begun.strip() else begun)
        assert b"" == connection.recv(100)

    assert 0.4 < time.monotonic() - began < 5


def test_a_second_header_has_to_end_too(serve: Serve) -> None:
    """On a connection that is kept, every header is timed; a body isn't."""
    app = Taker()
    address = serve(app, header_s=0.5)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(HEAD + b"Content-Length: 5\r\n\r\n")
        time.sleep(0.8)  # longer than a header may take; this body is nobody's hurry
        connection.sendall(b"hello")
        answer = b""
        while not answer.endswith(b"\r\n\r\n5"):
            answer += connection.recv(4096)
        began = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\n")

        assert b"" == connection.recv(4096)
    assert 0.3 < time.monotonic() - began < 5


def test_a_flood_of_waiting_headers_gives_way(serve: Serve) -> None:
    """Past their number the connection that waited longest is closed, and who sends its request is answered."""
    address = serve(Taker(), at_most=20)
    waiting = [socket.create_connection(address, timeout=10) for _ in range(20)]
    time.sleep(2.1)  # one that came just now is never closed
    ask = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    assert talk(address, ask).startswith(b"HTTP/1.1 200 OK")
    assert b"" == waiting[0].recv(100)
    waiting[-1].sendall(ask)
    assert waiting[-1].recv(4096).startswith(b"HTTP/1.1 200 OK")
    for connection in waiting:
        connection.close()
