"""The store in a bucket finds its keys and its address, says what is wrong with them, and gives links."""

import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.auth
import httpx2
import pytest
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server

from carryall.model.errors import Missing, StoreError
from carryall.stores.s3.addresses import bucket_at
from carryall.stores.s3.faults import answered
from carryall.stores.s3.options import S3Options
from carryall.stores.s3.putting import part_bytes
from carryall.stores.s3.store import S3Store
from carryall.testing.store_contract import source

MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start one server for the file."""
    server = S3Server(tmp_path_factory.mktemp("swift"))
    server.boto3().put_object(Bucket=server.bucket, Key="a file", Body=b"linked", ContentDisposition="attachment")
    yield server
    server.kill()


@pytest.fixture
def options(server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Options:
    """Give options that work, on a machine without keys of its own."""
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
    ]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return S3Options(server.bucket, server.url, REGION, ACCESS_KEY, SECRET_KEY)


@asynccontextmanager
async def store_with(options: S3Options) -> AsyncIterator[S3Store]:
    """Open a store."""
    store = S3Store("s3", options)
    try:
        yield store
    finally:
        await store.close()


async def what_is_wrong(options: S3Options) -> StoreError:
    """Ask a store that isn't ready."""
    async with store_with(options) as store:
        with pytest.raises(StoreError) as raised:
            await store.ready()
        return raised.value


@pytest.mark.parametrize(
    ("change", "code", "hint"),
    [
        ({"access_key": "test:nobody"}, "store_credentials", "ACCESS_KEY"),
        ({"secret_key": "wrong"}, "store_credentials", "SECRET_KEY"),
        ({"bucket": "nowhere"}, "store_not_found", "BUCKET"),
        ({"access_key": None}, "store_credentials", "go together"),
        ({"access_key": None, "secret_key": None}, "store_credentials", "set ACCESS_KEY"),
        ({"profile": "nobody", "access_key": None, "secret_key": None}, "store_credentials", "PROFILE"),
        ({"region": "eu-north-1"}, "store_not_found", "REGION"),
    ],
)
async def test_what_is_wrong_names_the_setting(
    options: S3Options, change: dict[str, Any], code: str, hint: str
) -> None:
    """Trying again is in vain, and the text says which setting to look at; never a secret."""
    error = await what_is_wrong(replace(options, **change))

    assert (code, False) == (error.stable_code, error.retryable)
    assert hint in str(error)
    assert SECRET_KEY not in str(error)


async def test_a_put_that_is_refused_says_so(options: S3Options, tmp_path: Path) -> None:
    """A server that refuses before it has read everything is still heard."""
    async with store_with(replace(options, secret_key="wrong")) as store:
        with pytest.raises(StoreError) as raised:
            await store.put("key", source(tmp_path, b"x" * 4 * MIB))

    assert ("store_credentials", False) == (raised.value.stable_code, raised.value.retryable)


async def test_a_lost_bucket_is_not_a_missing_file(options: S3Options) -> None:
    """Whoever looks for a copy learns that the bucket is gone, not that every copy is."""
    async with store_with(replace(options, bucket="nowhere")) as lost, store_with(options) as store:
        with pytest.raises(StoreError) as raised:
            await lost.stat("a file")
        with pytest.raises(Missing):
            await store.stat("no file")

    assert "store_not_found" == raised.value.stable_code


async def test_a_wrong_clock_is_told(options: S3Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is an hour off hears that."""
    late = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: late)

    assert "clock" in str(await what_is_wrong(options))


def test_nothing_shows_the_keys(options: S3Options) -> None:
    """Options print without them."""
    assert not any(key in repr(options) for key in (ACCESS_KEY, SECRET_KEY))


async def test_keys_come_from_the_environment(options: S3Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without keys in the settings the usual variables count."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)

    async with store_with(replace(options, access_key=None, secret_key=None, region=None)) as store:
        await store.ready()


async def test_keys_come_from_a_profile(options: S3Options, tmp_path: Path) -> None:
    """And so does the region."""
    (tmp_path / "config").write_text(f"[profile files]\nregion = {REGION}\n")
    (tmp_path / "credentials").write_text(
        f"[files]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    )

    async with store_with(replace(options, access_key=None, secret_key=None, region=None, profile="files")) as store:
        await store.ready()


async def test_given_keys_come_first(options: S3Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the settings say wins over the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")

    async with store_with(options) as store:
        await store.ready()


class _Role(BaseHTTPRequestHandler):
    """What gives a container its temporary keys."""

    asked: list[str]
    lives: Callable[[], timedelta]

    def do_GET(self) -> None:
        """Give keys that expire."""
        type(self).asked.append(threading.current_thread().name)
        expires = datetime.now(UTC) + type(self).lives()
        keys = {
            "AccessKeyId": ACCESS_KEY,
            "SecretAccessKey": SECRET_KEY,
            "Token": "",
            "Expiration": expires.isoformat(),
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(keys).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def test_temporary_keys_are_renewed(options: S3Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are about to expire are asked for anew, on a thread; the others stay."""
    lives = [timedelta(minutes=5), timedelta(hours=6)]
    _Role.asked, _Role.lives = [], lambda: lives.pop(0)
    role = ThreadingHTTPServer(("127.0.0.1", 0), _Role)
    serving = threading.Thread(target=role.serve_forever)
    serving.start()
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{role.server_port}/role")
    try:
        async with store_with(replace(options, access_key=None, secret_key=None)) as store:
            for _ in range(4):
                await store.ready()
    finally:
        role.shutdown()
        serving.join()
        role.server_close()

    assert 2 == len(_Role.asked)


@pytest.mark.parametrize(
    ("change", "url"),
    [
        ({}, "https://files.s3.eu-west-1.amazonaws.com/in/a%20b"),
        ({"bucket": "with.dots"}, "https://s3.eu-west-1.amazonaws.com/with.dots/in/a%20b"),
        ({"addressing": "path"}, "https://s3.eu-west-1.amazonaws.com/files/in/a%20b"),
        ({"region": "cn-north-1"}, "https://files.s3.cn-north-1.amazonaws.com.cn/in/a%20b"),
        ({"endpoint_url": "https://s3.example/"}, "https://s3.example/files/in/a%20b"),
        ({"endpoint_url": "s3.example:9000"}, "https://s3.example:9000/files/in/a%20b"),
        ({"endpoint_url": "http://s3.example", "addressing": "virtual"}, "http://files.s3.example/in/a%20b"),
    ],
)
def test_buckets_have_addresses(change: dict[str, Any], url: str) -> None:
    """AWS by host name where TLS allows it, others by path, unless it is said."""
    options = replace(S3Options("files", region="eu-west-1", prefix="/in/"), **change)

    assert url == bucket_at(options, options.region or "").at("a b", {})


async def test_an_object_has_an_address(options: S3Options) -> None:
    """It is told without a question, and is where the object lies; alone it opens nothing."""
    async with store_with(options) as store:
        before = store.address("a file")
        await store.ready()

        assert before == store.address("a file") == f"{options.endpoint_url}/files/a%20file"
    assert httpx2.get(before).is_client_error


async def test_a_bucket_can_be_a_host(options: S3Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server with names for its buckets takes what is signed for them."""
    port = (options.endpoint_url or "").rpartition(":")[2]
    monkeypatch.setattr(socket, "getaddrinfo", _here(socket.getaddrinfo))

    async with store_with(replace(options, endpoint_url=f"http://s3.test:{port}", addressing="virtual")) as store:
        await store.put("virtual", source(tmp_path, b"here"))

        assert 4 == (await store.stat("virtual")).size


def _here(find: Callable[..., Any]) -> Callable[..., Any]:
    """Resolve every name to this machine."""
    return lambda _, *words, **more: find("127.0.0.1", *words, **more)


async def test_signed_links_are_for_a_while_and_for_one_file(options: S3Options) -> None:
    """Whoever has the link can read, until it expires; changed it opens nothing."""
    async with store_with(replace(options, links="signed", link_days=30)) as store:
        link = await store.link("a file")
        with pytest.raises(Missing):
            await store.link("no file")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(botocore.auth, "get_current_datetime", lambda *_: datetime.now(UTC) - timedelta(days=8))
            signer, bucket = await store._wire.signer()
            expired = signer.link(bucket.link("a file"), 60)

    assert link is not None
    assert "X-Amz-Expires=604800" in link
    async with httpx2.AsyncClient() as client:
        assert b"linked" == (await client.get(link)).content
        assert 403 == (await client.get(expired)).status_code
        assert 403 == (await client.get(re.sub("a%20file", "b%20file", link))).status_code
        assert 403 == (await client.get(re.sub("Expires=604800", "Expires=604799", link))).status_code


async def test_public_links_are_plain(options: S3Options) -> None:
    """They begin as the operator says, or with the endpoint."""
    async with store_with(replace(options, links="public", public_url="https://cdn.example/")) as store:
        assert "https://cdn.example/a%20file" == await store.link("a file")
    async with store_with(replace(options, links="public")) as store:
        assert f"{options.endpoint_url}/files/a%20file" == await store.link("a file")


@pytest.mark.parametrize(
    ("size", "part"),
    [(1, 16), (10_000 * 16 * MIB, 16), (10_000 * 16 * MIB + 1, 17), (5 << 40, 525)],
)
def test_parts_are_never_too_many(size: int, part: int) -> None:
    """10,000 parts are enough for the largest file that S3 takes."""
    assert part * MIB == part_bytes(size, 16 * MIB)
    assert -(-size // part_bytes(size, 16 * MIB)) <= 10_000


async def test_a_file_may_be_too_large_for_s3(options: S3Options, tmp_path: Path) -> None:
    """It is refused before anything is sent."""
    async with store_with(options) as store:
        with pytest.raises(StoreError) as raised:
            await store.put("key", replace(source(tmp_path, b""), size=(5 << 40) + 1))

    assert ("store_refused", False) == (raised.value.stable_code, raised.value.retryable)


@pytest.mark.parametrize(
    ("status", "provider_code", "code", "is_retryable"),
    [
        (503, "SlowDown", "store_busy", True),
        (429, "", "store_busy", True),
        (500, "InternalError", "store_failed", True),
        (500, "", "store_failed", True),
        (504, "", "store_timeout", True),
        (400, "ExpiredToken", "store_credentials", False),
        (403, "QuotaExceeded", "store_full", False),
        (507, "XMinioStorageFull", "store_full", False),
        (400, "EntityTooLarge", "store_refused", False),
        (451, "", "store_refused", False),
        (400, "BadDigest", "store_damaged", True),
        (301, "PermanentRedirect", "store_not_found", False),
        (400, "InvalidArgument", "store_failed", False),
    ],
)
def test_answers_have_our_codes(status: int, provider_code: str, code: str, *, is_retryable: bool) -> None:
    """Each way of failing says whether trying again can help, and when."""
    body = f'<?xml version="1.0"?><Error xmlns="urn:x"><Code>{provider_code}</Code></Error>'.encode()

    error = answered("s3", status, {"Retry-After": "7"}, body)

    assert (code, is_retryable, 7) == (error.stable_code, error.retryable, error.retry_after_s)
