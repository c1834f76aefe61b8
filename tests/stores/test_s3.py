"""The store in a bucket keeps the contract, on a real server with signatures."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY, S3Server

from carryall.ports.store import Store
from carryall.stores.s3.options import S3Options
from carryall.stores.s3.store import S3Store
from carryall.testing.store_contract import StoreContract


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start one server for the file."""
    server = S3Server(tmp_path_factory.mktemp("swift"))
    yield server
    server.kill()


class Bucket(StoreContract):
    """The contract, in a folder of a bucket."""

    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _started(self, server: S3Server) -> Iterator[None]:
        self.server = server
        yield
        server.empty()

    async def make_store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Give an empty store."""
        given = {
            "bucket": self.server.bucket,
            "endpoint_url": self.server.url,
            "region": REGION,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            **self.options,
        }
        store = S3Store("s3", S3Options(**given))
        yield store
        await store.close()


class TestBucket(Bucket):
    """As it comes, with checksums."""


class TestSignedBucket(Bucket):
    """In a folder, with payloads signed whole, and links."""

    options: ClassVar[dict[str, Any]] = {"prefix": "deep/er", "checksum": "none", "links": "signed"}
