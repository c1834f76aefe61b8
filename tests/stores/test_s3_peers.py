"""What the store in a bucket writes others read, and the other way round: boto3, obstore and rclone."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store as ObStore
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server

from carryall.stores.s3.options import S3Options
from carryall.stores.s3.store import S3Store
from carryall.testing import fakes
from carryall.testing.store_contract import source, stored_bytes

PART = 5 << 20
pattern = functools.cache(fakes.pattern)
SIZES = [0, 1, PART, 2 * PART + 3]
NAMES = [
    "plain.txt",
    "user:alice/kV3/two words & more.txt",
    "50%25 off %/a+b=c?d#e;f,g'h(i)j*k!l@m$n~o[p]{q}|r\\s^t`u\"v<w>.bin",
    "Ünïcödé/日本語/😀/e\u0301.txt",
    "deep//double/./dot/../dots",
    "line\nbreak\ttab\x01control",
    "x" * 900,
]
Reader = Callable[[S3Server, str, Path], bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start one server for the file."""
    server = S3Server(tmp_path_factory.mktemp("swift"))
    yield server
    server.kill()


@pytest.fixture
async def store(server: S3Server) -> AsyncIterator[S3Store]:
    """Make a store in the whole bucket."""
    options = S3Options(server.bucket, server.url, REGION, ACCESS_KEY, SECRET_KEY, part_bytes=PART)
    store = S3Store("s3", options)
    yield store
    await store.close()
    server.empty()


def ob_store(server: S3Server) -> ObStore:
    """Give obstore's client."""
    return ObStore(
        server.bucket,
        endpoint=server.url,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        region=REGION,
        client_options={"allow_http": True},
    )


def rclone(server: S3Server, *words: str | Path) -> bytes:
    """Run rclone with the server as its remote `s3:`."""
    facts = {"type": "s3", "provider": "Other", "endpoint": server.url, "force_path_style": "true", "region": REGION}
    keys = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, "no_check_bucket": "true"}
    settings = {f"RCLONE_CONFIG_S3_{name.upper()}": value for name, value in {**facts, **keys}.items()}
    program = shutil.which("rclone", path=str(Path(sys.executable).parent))
    assert program is not None
    command = [program, "--config=", "--s3-upload-cutoff=5Mi", "--s3-chunk-size=5Mi", *words]
    return subprocess.run(command, check=True, capture_output=True, env={**os.environ, **settings}, timeout=50).stdout


def by_boto3(server: S3Server, key: str, _: Path) -> bytes:
    """Read with boto3."""
    return bytes(server.boto3().get_object(Bucket=server.bucket, Key=key)["Body"].read())


def by_obstore(server: S3Server, key: str, _: Path) -> bytes:
    """Read with obstore."""
    return bytes(obstore.get(ob_store(server), key).bytes())


def by_rclone(server: S3Server, key: str, _: Path) -> bytes:
    """Read with rclone."""
    return rclone(server, "cat", f"s3:{server.bucket}/{key}")


@pytest.mark.parametrize("read", [by_boto3, by_obstore, by_rclone])
async def test_others_read_what_we_wrote(server: S3Server, store: S3Store, tmp_path: Path, read: Reader) -> None:
    """Whole files and files in parts are for others what they are for us."""
    for size in [PART, 2 * PART + 3]:
        await store.put(f"a b/ü{size}.bin", source(tmp_path, pattern(size)))

        assert pattern(size) == read(server, f"a b/ü{size}.bin", tmp_path)


@pytest.mark.parametrize("name", NAMES)
async def test_names_are_kept(server: S3Server, store: S3Store, tmp_path: Path, name: str) -> None:
    """Every character of a key is signed, sent and listed as it is."""
    await store.put(name, source(tmp_path, b"named"))

    assert [name] == [found.location async for found in store.list()]
    assert b"named" == by_boto3(server, name, tmp_path)
    assert b"named" == await stored_bytes(store, name, 0, 5)
    await store.erase(name)
    assert [] == [found async for found in store.list()]


@pytest.mark.parametrize("size", SIZES)
async def test_we_read_what_boto3_wrote(server: S3Server, store: S3Store, tmp_path: Path, size: int) -> None:
    """Ranges of it too, over the bounds of its parts."""
    path = tmp_path / "given"
    path.write_bytes(pattern(size))
    server.boto3().upload_file(str(path), server.bucket, "given %2F name")

    for start, stop in [(0, size), (size // 2, size), (max(0, PART - 3), min(size, PART + 3)), (0, 0)]:
        if start <= stop:
            assert pattern(size)[start:stop] == await stored_bytes(store, "given %2F name", start, stop)
    assert size == (await store.stat("given %2F name")).size


async def test_we_read_what_obstore_and_rclone_wrote(server: S3Server, store: S3Store, tmp_path: Path) -> None:
    """And we list it."""
    path = tmp_path / "über name.bin"
    path.write_bytes(pattern(PART + 1))
    obstore.put(ob_store(server), "o/ü b", path.read_bytes(), chunk_size=PART)
    rclone(server, "copyto", path, f"s3:{server.bucket}/r/ü b")

    assert {"o/ü b", "r/ü b"} == {found.location async for found in store.list()}
    assert pattern(PART + 1) == await stored_bytes(store, "o/ü b", 0, PART + 1)
    assert pattern(PART + 1) == await stored_bytes(store, "r/ü b", 0, PART + 1)


async def test_an_object_says_what_it_is(server: S3Server, store: S3Store, tmp_path: Path) -> None:
    """Its type and its name go along, and nothing else does."""
    await store.put("key", replace(source(tmp_path, b"x"), name='two "words" ü.txt', media_type="text/csv; a=b"))

    head = server.boto3().head_object(Bucket=server.bucket, Key="key")

    assert "text/csv; a=b" == head["ContentType"]
    assert "attachment; filename*=UTF-8''two%20%22words%22%20%C3%BC.txt" == head["ContentDisposition"]
    assert {} == head["Metadata"]


async def test_a_list_has_many_pages(server: S3Server, store: S3Store) -> None:
    """Pages are followed to the last; what lies outside the prefix isn't ours."""
    client, asked = server.boto3(), []
    for number in range(7):
        client.put_object(Bucket=server.bucket, Key=f"mine/ü {number}", Body=b"x")
    for key in ["mine", "mine/", "mine2/x", "other/x"]:
        client.put_object(Bucket=server.bucket, Key=key, Body=b"x")
    mine = S3Store("s3", replace(store._options, prefix="/mine/"))
    call = mine._wire.call

    async def in_threes(*words: object, query: dict[str, str], **more: object) -> object:
        asked.append(query)
        return await call(*words, query={**query, "max-keys": "3"}, **more)

    mine._wire.call = in_threes
    found = [stored.location async for stored in mine.list()]
    await mine.close()

    assert [f"ü {number}" for number in range(7)] == found
    assert 3 == len(asked)
