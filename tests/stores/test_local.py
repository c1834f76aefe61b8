"""The local store."""

from collections.abc import AsyncIterator
from pathlib import Path

from carryall.ports.store import Store
from carryall.stores.local import LocalStore
from carryall.testing.store_contract import StoreContract


class TestLocalStore(StoreContract):
    """The local store keeps the contract."""

    async def make_store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Give a store in an empty folder."""
        store = LocalStore("local", tmp_path)
        store.prepare()
        yield store
        store.close()
