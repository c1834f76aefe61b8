"""The MEGA store keeps the contract of all stores, in accounts of both kinds."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.mega.launch import FakeMega

from carryall.stores.mega.options import MegaOptions
from carryall.stores.mega.store import MegaStore
from carryall.system.keepsake import FileKeepsake
from carryall.testing.store_contract import StoreContract, source, stored_bytes


class TestMegaStore(StoreContract):
    """The contract, with a folder for each test."""

    @pytest.fixture(autouse=True)
    def given(self, mega: FakeMega, keepsake: FileKeepsake) -> None:
        """Take what a store needs."""
        self._mega = mega
        self._keepsake = keepsake

    async def make_store(self, tmp_path: Path) -> AsyncIterator[MegaStore]:
        """Give a store of the newer kind of account."""
        options = MegaOptions(
            email="new@example.com", password="open sesame", api_url=self._mega.url, folder=str(tmp_path)
        )
        store = MegaStore("mega", options, self._keepsake)
        yield store
        await store.close()


async def test_an_account_of_the_old_kind(new_store: Any, tmp_path: Path) -> None:
    """What was put into an old account is read, linked and erased."""
    store = new_store(email="Old@Example.com")
    stored = await store.put("key", source(tmp_path, b"carried"))

    assert b"carried" == await stored_bytes(store, stored.location, 0, 7)
    assert "https://mega.nz/file/" in (await store.link(stored.location) or "")
    await store.erase(stored.location)
    assert [] == [found async for found in store.list()]
