"""Buckets behind rclone: a file from this machine goes to its name at once, and its checksum is the provider's."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server

from carryall.model.errors import StoreError
from carryall.stores.rclone.options import RcloneOptions
from carryall.stores.rclone.store import RcloneStore
from carryall.testing.store_contract import FarSource, source, stored_bytes


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give one S3 server to all tests."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


def new_store(s3: S3Server, tmp_path: Path, bucket: str, secret: str = SECRET_KEY) -> RcloneStore:
    config = tmp_path / "rclone.conf"
    config.write_text(
        f"[pail]\ntype = s3\nprovider = Other\nendpoint = {s3.url}\nregion = {REGION}\n"
        f"access_key_id = {ACCESS_KEY}\nsecret_access_key = {secret}\nno_check_bucket = true\n"
    )
    return RcloneStore("pail", RcloneOptions(f"pail:{bucket}/{tmp_path.name}", config=config))


@pytest.fixture
async def store(s3: S3Server, tmp_path: Path) -> AsyncIterator[RcloneStore]:
    """Give a store in a new folder."""
    made = new_store(s3, tmp_path, s3.bucket)
    yield made
    await made.close()


async def test_a_files_life(store: RcloneStore, tmp_path: Path) -> None:
    """Near and far, new and replaced by as many bytes: read, listed and erased, under the provider's checksum."""
    key = "user%3Aalice/1/a näme ⅓.bin"
    for content in (b"first", b"again", b"far_1"):
        near = source(tmp_path, content)
        stored = await store.put(key, FarSource(near) if content == b"far_1" else near)

        assert f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}" == stored.tag
        assert content[1:4] == await stored_bytes(store, key, 1, 4)
        assert [(key, stored.tag)] == [(found.location, found.tag) async for found in store.list()]
    for _ in range(2):
        await store.erase(key)
    assert [] == [found async for found in store.list()]


async def test_a_cut_stream_leaves_what_was_there(store: RcloneStore, tmp_path: Path) -> None:
    """A far source goes by way of another name, also to a bucket: rclone may keep what came of a cut one."""
    await store.put("key", source(tmp_path, b"before", "one"))

    with pytest.raises(StoreError) as raised:
        await store.put("key", FarSource(source(tmp_path, b"cut", "two", size=4)))

    assert "staging_lost" == raised.value.stable_code
    assert b"before" == await stored_bytes(store, "key", 0, 6)


@pytest.mark.parametrize(
    ("bucket", "secret", "code"),
    [("no-such-bucket", SECRET_KEY, "store_not_found"), ("files", "hunter2", "store_credentials")],
)
async def test_what_is_wrong_is_told(s3: S3Server, tmp_path: Path, bucket: str, secret: str, code: str) -> None:
    """A bucket that isn't there, and a secret that isn't the right one, are told by a put, and by `ready`."""
    store = new_store(s3, tmp_path, bucket, secret)
    with pytest.raises(StoreError) as raised:
        await store.put("key", source(tmp_path, b"x"))
    codes = [raised.value.stable_code]
    with pytest.raises(StoreError) as raised:
        await store.ready()
    await store.close()

    assert [code, code] == [*codes, raised.value.stable_code]
