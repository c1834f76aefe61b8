"""A MEGA to talk to, and stores in its accounts."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.mega.launch import FakeMega

from carryall.stores.mega import pauses
from carryall.stores.mega.options import MegaOptions
from carryall.stores.mega.store import MegaStore
from carryall.system.keepsake import FileKeepsake


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait milliseconds where people wait seconds."""
    monkeypatch.setattr(pauses, "FIRST_S", 0.002)


@pytest.fixture(scope="module")
def running_mega(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeMega]:
    """Start a MEGA for all tests of a file, with accounts of each kind."""
    with FakeMega(tmp_path_factory.mktemp("mega")) as server:
        server.account("new@example.com", version=2)
        server.account("old@example.com", version=1)
        yield server


@pytest.fixture
def mega(running_mega: FakeMega) -> Iterator[FakeMega]:
    """Give the MEGA, with nothing counted yet; it must not have seen a client do anything wrong."""
    running_mega.clear()
    yield running_mega
    assert [] == running_mega.violations


@pytest.fixture(scope="module")
def keepsake(tmp_path_factory: pytest.TempPathFactory) -> FileKeepsake:
    """Keep the session over all tests of a file, as over restarts: few of them are about logging in."""
    return FileKeepsake(tmp_path_factory.mktemp("secrets"), "mega", "secret key")


@pytest.fixture
async def new_store(mega: FakeMega, keepsake: FileKeepsake, tmp_path: Path) -> AsyncIterator[Callable[..., MegaStore]]:
    """Give a function that makes stores of the new account, in one folder: as other processes, or after a restart."""
    made: list[MegaStore] = []

    def make(**options: Any) -> MegaStore:
        given = {"email": "new@example.com", "password": "open sesame", "folder": tmp_path.name, "api_url": mega.url}
        made.append(MegaStore("mega", MegaOptions(**given | options), keepsake))
        return made[-1]

    yield make
    for store in made:
        await store.close()


@pytest.fixture
def store(new_store: Callable[..., MegaStore]) -> MegaStore:
    """Give a store in a folder of its own."""
    return new_store()
