"""Request bodies: what comes, what broke off, what is too slow, and what is never asked for."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import pytest
from starlette.datastructures import Headers
from starlette.types import Message

from carryall.http.body import Pace, RequestBody, body_of, drain, read_all
from carryall.model.errors import BodyStalled, BodyTruncated, Malformed, TooLarge, TypeRefused
from carryall.ports.body import CHUNK_MAX_BYTES


class Client:
    """An ASGI `receive` with a script: bytes are sent, None hangs up; at its end the client is silent.

    Each message takes `pause_s` on the client's own clock; `calls` counts how often it was asked.
    """

    def __init__(self, script: Iterable[bytes | None], *, pause_s: float = 0.0, ends: bool = True) -> None:
        self.calls = 0
        self.now = 0.0
        self._pause_s = pause_s
        self._messages: list[Message] = [
            {"type": "http.disconnect"} if each is None else {"type": "http.request", "body": each, "more_body": True}
            for each in script
        ]
        if ends and self._messages:
            self._messages[-1]["more_body"] = False

    async def __call__(self) -> Message:
        self.calls += 1
        self.now += self._pause_s
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)

    def clock(self) -> float:
        return self.now


async def _all(body: RequestBody) -> list[bytes]:
    return [chunk async for chunk in body]


def _headers(**fields: str) -> Headers:
    return Headers({name.replace("_", "-"): value for name, value in fields.items()})


@pytest.mark.parametrize("declared", [None, 5], ids=["unknown size", "declared size"])
async def test_a_body_comes_in_order_without_empty_chunks(declared: int | None) -> None:
    """Chunks keep their order, none is empty, and what came is counted."""
    body = RequestBody(Client([b"ab", b"", b"c", b"de", b""]), declared_size=declared)
    assert (body.started, body.is_complete) == (False, False)
    assert await _all(body) == [b"ab", b"c", b"de"]
    assert (body.started, body.is_complete, body.received) == (True, True, 5)


async def test_nothing_is_asked_beyond_the_end() -> None:
    """A body that has ended isn't waited for again: the next message would be the client's going away."""
    client = Client([b"a", b"b"])
    body = RequestBody(client, declared_size=None)
    assert await _all(body) == [b"a", b"b"]
    assert await _all(body) == []
    assert client.calls == 2


async def test_large_messages_are_cut_into_chunks() -> None:
    """A chunk has at most 1 MiB, whatever the ASGI server hands over at once."""
    data = bytes(range(256)) * 4096 * 2 + b"end"
    chunks = await _all(RequestBody(Client([data]), declared_size=len(data)))
    assert [len(chunk) for chunk in chunks] == [CHUNK_MAX_BYTES, CHUNK_MAX_BYTES, 3]
    assert b"".join(chunks) == data


async def test_a_client_that_goes_away_is_no_end() -> None:
    """A disconnect raises BodyTruncated after everything that came before it was given."""
    body = RequestBody(Client([b"ab", None]), declared_size=None)
    assert await anext(body) == b"ab"
    with pytest.raises(BodyTruncated):
        await anext(body)
    assert not body.is_complete


async def test_fewer_bytes_than_declared_are_no_body() -> None:
    """A body that ends early was cut, however politely it ends; its bytes were good all the same."""
    body = RequestBody(Client([b"abc"]), declared_size=4)
    assert await anext(body) == b"abc"
    with pytest.raises(BodyTruncated):
        await anext(body)
    assert not body.is_complete


async def test_more_bytes_than_declared_are_refused() -> None:
    """What was admitted is what is taken (threat 15)."""
    body = RequestBody(Client([b"abc", b"de"]), declared_size=4)
    with pytest.raises(Malformed) as caught:
        await _all(body)
    assert caught.value.stable_code == "body_too_long"
    assert not body.is_complete


async def test_silence_ends_a_body() -> None:
    """A client that says nothing for the idle time is not waited for any longer (threat 20)."""
    body = RequestBody(Client([b"ab"], ends=False), declared_size=None, pace=Pace(idle=timedelta(milliseconds=20)))
    assert await anext(body) == b"ab"
    with pytest.raises(BodyStalled):
        await anext(body)


async def test_a_trickle_ends_a_body() -> None:
    """One byte a second keeps the connection alive for one window, not for ever (threat 20)."""
    client = Client([b"x"] * 100, pause_s=1.0)
    body = RequestBody(client, declared_size=None, clock=client.clock)
    with pytest.raises(BodyStalled):
        await _all(body)
    assert client.calls == 60


async def test_a_slow_but_steady_client_is_served() -> None:
    """1,024 bytes a second are enough, for as long as it takes."""
    client = Client([b"x" * 10_240] * 30, pause_s=10.0)
    body = RequestBody(client, declared_size=307_200, clock=client.clock)
    assert len(b"".join(await _all(body))) == 307_200


async def test_our_own_slowness_is_not_held_against_the_client() -> None:
    """Only the time spent waiting for the client counts: a busy disk cuts nobody off."""
    client = Client([b"x" * 1024] * 10)
    body = RequestBody(client, declared_size=None, clock=client.clock)
    async for _ in body:
        client.now += 600.0
    assert body.is_complete


async def test_the_last_bytes_are_never_too_slow() -> None:
    """A body that is whole is taken, even when its last window was a lean one."""
    client = Client([b"x"], pause_s=3600.0)
    assert await _all(RequestBody(client, declared_size=1, clock=client.clock)) == [b"x"]


async def test_a_body_is_built_without_reading_it() -> None:
    """Admission comes before the first byte: building a body asks the server for nothing."""
    client = Client([b"abc"])
    body = body_of(_headers(content_length="3", expect="100-Continue"), client)
    assert (body.declared_size, body.expects_continue, body.started, client.calls) == (3, True, False, 0)


async def test_a_body_without_length_has_no_declared_size() -> None:
    """Chunked bodies say nothing about their size."""
    assert body_of(_headers(transfer_encoding="chunked"), Client([])).declared_size is None


@pytest.mark.parametrize(
    "length",
    ["", " 5", "-1", "+5", "05", "5.0", "1_0", "5, 5", "0x5", "\u0665".encode().decode("latin-1"), "1" * 16],
)
async def test_odd_lengths_are_refused(length: str) -> None:
    """Content-Length is a decimal number, and nothing that Python would also take for one (RFC 9110 §8.6)."""
    with pytest.raises(Malformed) as caught:
        body_of(Headers(raw=[(b"content-length", length.encode("latin-1"))]), Client([]))
    assert caught.value.stable_code == "content_length_invalid"


@pytest.mark.parametrize("second", [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], ids=["two", "te"])
async def test_ambiguous_framing_is_refused(second: tuple[bytes, bytes]) -> None:
    """Two lengths, or a length beside a transfer coding, are how requests are smuggled (RFC 9112 §6.3)."""
    with pytest.raises(Malformed):
        body_of(Headers(raw=[(b"content-length", b"5"), second]), Client([]))


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "GZIP", "x"])
async def test_compressed_bodies_are_refused(coding: str) -> None:
    """Nothing is ever inflated (threat 19)."""
    with pytest.raises(TypeRefused) as caught:
        body_of(_headers(content_encoding=coding), Client([]))
    assert caught.value.stable_code == "content_coding_refused"


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
async def test_identity_is_no_compression(coding: str) -> None:
    """A coding that changes nothing is taken."""
    assert body_of(_headers(content_encoding=coding), Client([])).declared_size is None


async def test_a_small_body_is_read_whole() -> None:
    """The limit itself is allowed."""
    assert await read_all(RequestBody(Client([b"ab", b"cd"]), declared_size=None), 4) == b"abcd"


async def test_a_large_small_body_is_refused() -> None:
    """One byte more than the limit is refused, and nothing more is read."""
    client = Client([b"ab", b"cde", b"f"])
    with pytest.raises(TooLarge):
        await read_all(RequestBody(client, declared_size=None), 4)
    assert client.calls == 2


async def test_a_body_that_says_it_is_large_is_not_read() -> None:
    """Its size was declared, so nothing has to be read to refuse it (threat 15)."""
    client = Client([b"abcde"])
    with pytest.raises(TooLarge):
        await read_all(RequestBody(client, declared_size=5), 4)
    assert client.calls == 0


async def test_draining_is_bounded_in_bytes() -> None:
    """A refused client may send a little more, so that it reads our answer, and not 10 GB."""
    client = Client([b"x" * 1000] * 100)
    body = RequestBody(client, declared_size=None)
    await anext(body)
    await drain(body, limit_bytes=5000, seconds=10)
    assert body.received == 6000


async def test_draining_is_bounded_in_time() -> None:
    """A refused client that dawdles is left."""
    async with asyncio.timeout(10):
        await drain(RequestBody(Client([b"x"], ends=False), declared_size=None), limit_bytes=1 << 20, seconds=0.02)


@pytest.mark.parametrize("script", [[None], [b"ab", None], [b"ab"], [b"abcdef"]], ids=["gone", "cut", "short", "long"])
async def test_draining_never_raises(script: list[bytes | None]) -> None:
    """Nothing that a refused client does hides the refusal."""
    await drain(RequestBody(Client(script), declared_size=3), limit_bytes=100, seconds=10)


async def test_draining_leaves_a_waiting_client_alone() -> None:
    """A client that waits for `100 Continue` is told the final status instead (RFC 9110 §10.1.1)."""
    client = Client([b"abc"])
    await drain(body_of(_headers(content_length="3", expect="100-continue"), client), limit_bytes=100, seconds=10)
    assert client.calls == 0
