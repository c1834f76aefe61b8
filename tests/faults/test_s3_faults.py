"""Fault 10: the S3 server is killed, busy, silent, cut off or lying; what is told as stored is stored."""

import asyncio
import functools
import re
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server
from tests.servers.s3_proxy import Act, Fault, Proxy, answer, proxy_to

from carryall.model.errors import StoreError
from carryall.operations.sources import PathSource
from carryall.stores.s3 import multipart
from carryall.stores.s3.options import Patience, S3Options
from carryall.stores.s3.store import S3Store
from carryall.testing import fakes
from carryall.testing.store_contract import source, stored_bytes

SIZE = 11 << 20  # three parts of 5 MiB
pattern = functools.cache(fakes.pattern)
BUSY = answer("503 Busy", "<Error><Code>SlowDown</Code></Error>", "Retry-After: 1\r\n")
BROKEN = answer("200 OK", "<Error><Code>InternalError</Code></Error>")
GONE = answer("404 Gone", "<Error><Code>NoSuchUpload</Code></Error>")
PART, COMPLETE, ANY = r"PUT .*partNumber=2", r"POST .*uploadId=", r""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start one server for the file."""
    server = S3Server(tmp_path_factory.mktemp("swift"))
    yield server
    server.kill()


@pytest.fixture
async def proxy(server: S3Server) -> AsyncIterator[Proxy]:
    """Open a way to the server on which nothing goes wrong yet."""
    async with proxy_to(server.port) as proxy:
        yield proxy
    server.empty()


def store_at(url: str, *, idle_s: float = 30) -> S3Store:
    """Make a store."""
    options = S3Options(S3Server.bucket, url, REGION, ACCESS_KEY, SECRET_KEY, part_bytes=5 << 20)
    return S3Store("s3", options, patience=Patience(connect_s=10, idle_s=idle_s, closing_s=max(2, idle_s)))


@pytest.fixture
async def store(
    proxy: Proxy, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[S3Store]:
    """Make a store behind the proxy; where that says nothing, one that soon loses its patience."""
    monkeypatch.setattr(multipart, "_FIRST_PAUSE_S", 0.02)
    is_silent = re.search("mute|stall", repr(getattr(request.node, "callspec", ""))) is not None
    store = store_at(proxy.url, idle_s=0.7 if is_silent else 30)
    yield store
    await store.close()


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> PathSource:
    """Write the file that is to be brought."""
    return source(tmp_path_factory.mktemp("given"), pattern(SIZE))


async def assert_nothing_is_left(server: S3Server, proxy: Proxy, store: S3Store) -> None:
    """Check that no file can be read, and after the clean-up no upload is open."""
    proxy.faults.clear()
    await store.abort_leftovers(timedelta(0))

    assert [] == server.all_keys()
    assert [] == server.open_uploads()


@pytest.mark.parametrize(
    ("matches", "act", "content"),
    [
        (PART, "answer", BUSY),
        (PART, "cut", b""),
        (PART, "lose", b""),
        (PART, "mute", b""),
        (PART, "stall", b""),
        (COMPLETE, "answer", BROKEN),
        (COMPLETE, "lose", b""),
        (PART, "answer", GONE),
    ],
    ids=range(8),
)
async def test_what_fails_once_is_done_again(
    server: S3Server, proxy: Proxy, store: S3Store, given: PathSource, *, matches: str, act: Act, content: bytes
) -> None:
    """A part and the completion have three tries; an upload that was given up begins anew; an answer may get lost."""
    fault = Fault(matches, act, times=1, after_bytes=1 << 20 if act == "cut" else 0, answer=content)
    proxy.faults.append(fault)

    stored = await store.put("key", given)

    assert 0 == fault.times
    assert pattern(SIZE) == await stored_bytes(store, stored.location, 0, SIZE)
    assert [] == server.open_uploads()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(PART, "answer", answer=BUSY), "store_busy"),
        (Fault(PART, "cut", after_bytes=1 << 20), "store_unreachable"),
        (Fault(PART, "stall"), "store_timeout"),
        (Fault(COMPLETE, "answer", answer=BROKEN), "store_failed"),
        (Fault(COMPLETE, "mute"), "store_timeout"),
        (Fault(PART, "answer", answer=GONE), "store_failed"),
        (Fault(ANY, "answer", answer=BUSY), "store_busy"),
        (Fault(ANY, "mute"), "store_timeout"),
        (Fault(r"HEAD", "answer", answer=answer("200 OK")), "store_damaged"),
        (Fault(r"HEAD", "answer", answer=answer("404 No")), "store_damaged"),
        (Fault(r"POST .*uploads=", "lose"), "store_unreachable"),
        (Fault(r"PUT .*partNumber=|DELETE", "answer", answer=BUSY), "store_busy"),
    ],
)
async def test_what_goes_on_failing_is_told(
    server: S3Server, proxy: Proxy, store: S3Store, given: PathSource, *, fault: Fault, code: str
) -> None:
    """The error says what is wrong and that trying again can help; nothing readable is there, and nothing open."""
    proxy.faults.append(replace(fault))

    with pytest.raises(StoreError) as raised:
        await store.put("key", given)

    assert (code, True) == (raised.value.stable_code, raised.value.retryable)
    assert (1 if code == "store_busy" else None) == raised.value.retry_after_s
    assert "Signature" not in str(raised.value)
    await assert_nothing_is_left(server, proxy, store)


@pytest.mark.parametrize("lie", ["Content-Length: 4", 'Content-Length: 3\r\nETag: "0"'])
async def test_success_needs_a_look_that_agrees(
    server: S3Server, proxy: Proxy, store: S3Store, tmp_path: Path, lie: str
) -> None:
    """Another size or ETag than what was sent is damage, and is taken away."""
    proxy.faults.append(
        Fault("HEAD", "answer", answer=f"HTTP/1.1 200 OK\r\nConnection: close\r\n{lie}\r\n\r\n".encode())
    )

    with pytest.raises(StoreError) as raised:
        await store.put("key", source(tmp_path, b"abc"))

    assert "store_damaged" == raised.value.stable_code
    await assert_nothing_is_left(server, proxy, store)


@pytest.mark.parametrize("moment", [r"POST .*uploads=", r"PUT .*partNumber=1", r"PUT .*partNumber=3", COMPLETE, "HEAD"])
async def test_a_cancelled_upload_is_given_up(
    server: S3Server, proxy: Proxy, store: S3Store, given: PathSource, moment: str
) -> None:
    """Cancelled at any moment, put leaves no upload open, and the file whole or not at all."""
    putting = asyncio.ensure_future(store.put("key", given))
    await proxy.until(moment)

    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting

    assert [] == server.open_uploads()
    for key in server.all_keys():
        assert pattern(SIZE) == await stored_bytes(store, key, 0, SIZE)


async def test_a_killed_server_takes_it_when_it_is_back(
    server: S3Server, proxy: Proxy, store: S3Store, given: PathSource
) -> None:
    """Killed half-way it is an error that says so; started again it takes the next try, and what is left goes."""
    proxy.faults.append(Fault(r"PUT .*partNumber=3", "stall", times=1))
    putting = asyncio.ensure_future(store.put("key", given))
    await proxy.until(r"PUT .*partNumber=3")

    server.kill()
    proxy.patience.set()
    with pytest.raises(StoreError) as raised:
        await putting
    with pytest.raises(StoreError):
        await store.ready()
    server.start()
    stored = await store.put("key", given)

    assert ("store_unreachable", True) == (raised.value.stable_code, raised.value.retryable)
    assert pattern(SIZE) == await stored_bytes(store, stored.location, 0, SIZE)
    await store.abort_leftovers(timedelta(0))
    assert [] == server.open_uploads()


@pytest.mark.parametrize(("act", "code"), [("cut_answer", "store_unreachable"), ("stall", "store_timeout")])
async def test_a_read_that_breaks_off_is_told(
    proxy: Proxy, store: S3Store, given: PathSource, act: Act, code: str
) -> None:
    """Fewer bytes than were asked for are never an end."""
    await store.put("key", given)
    proxy.faults.append(Fault("GET", act, after_bytes=1 << 20))

    with pytest.raises(StoreError) as raised:
        await stored_bytes(store, "key", 0, SIZE)

    assert (code, True) == (raised.value.stable_code, raised.value.retryable)


async def test_nobody_there_is_told() -> None:
    """A server that doesn't listen can't be reached."""
    async with proxy_to(1) as proxy:
        pass
    store = store_at(proxy.url)

    with pytest.raises(StoreError) as raised:
        await store.ready()

    assert ("store_unreachable", True) == (raised.value.stable_code, raised.value.retryable)
    assert "ENDPOINT_URL" in str(raised.value)
    await store.close()


async def test_a_server_that_takes_no_connection_is_told() -> None:
    """A black hole is a timeout, after the time that a connection may take."""
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())  # the only place in the queue
        options = S3Options("files", f"http://127.0.0.1:{full.getsockname()[1]}", REGION, ACCESS_KEY, SECRET_KEY)
        store = S3Store("s3", options, patience=Patience(connect_s=0.3))

        with pytest.raises(StoreError) as raised:
            await store.ready()
        await store.close()

    assert ("store_timeout", True) == (raised.value.stable_code, raised.value.retryable)


async def test_the_clean_up_knows_what_is_under_way(
    server: S3Server, proxy: Proxy, store: S3Store, given: PathSource
) -> None:
    """What is left of others goes when it is old enough; what this process sends stays."""
    left = server.boto3().create_multipart_upload(Bucket=server.bucket, Key="left")["UploadId"]
    proxy.faults.append(Fault(r"PUT .*partNumber=3", "mute", times=1))
    putting = asyncio.ensure_future(store.put("key", given))
    await proxy.until(r"PUT .*partNumber=3")

    assert 0 == await store.abort_leftovers(timedelta(hours=1))
    assert left in server.open_uploads()
    assert 1 == await store.abort_leftovers(timedelta(0))
    proxy.patience.set()
    await putting

    assert ["key"] == server.all_keys()


async def test_no_body_is_unprotected(proxy: Proxy, store: S3Store, given: PathSource) -> None:
    """Over plain http each body has a checksum among the signed headers, or is signed itself."""
    await store.put("key", given)

    for head in proxy.heads:
        signed = (re.search(r"SignedHeaders=([^,]+)", head) or ["", ""])[1].split(";")
        assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed)
        assert "x-amz-checksum-crc32" in signed or not re.search(r"(?i)sha256: unsigned", head)
