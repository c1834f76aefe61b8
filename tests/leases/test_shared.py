"""Leases among several processes: here several `SharedLeases` on one catalog, each as a process would have it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carryall.catalog.migrate import migrate_sqlite
from carryall.catalog.postgres import PostgresCatalog
from carryall.catalog.sqlite import SqliteCatalog
from carryall.leases import shared
from carryall.leases.shared import SharedLeases
from carryall.model.errors import Interrupted, Unavailable
from carryall.model.target import Target
from carryall.model.upload import Declared, Upload
from carryall.ports.catalog import Catalog
from carryall.ports.leases import Leases
from carryall.testing.leases_contract import Holder, LeasesContract

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_SOON_S = 1.0  # a holder that can answer does within this


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty database to copy."""
    path = tmp_path_factory.mktemp("migrated") / "catalog.db"
    migrate_sqlite(path)
    return path


@pytest.fixture(params=["sqlite", "postgres"])
async def catalog(request: pytest.FixtureRequest, migrated: Path, tmp_path: Path) -> AsyncIterator[Catalog]:
    """Give a catalog with the present tables, on each database."""
    catalog: SqliteCatalog | PostgresCatalog
    if request.param == "sqlite":
        shutil.copy(migrated, tmp_path / "catalog.db")
        catalog = SqliteCatalog(tmp_path / "catalog.db", is_durable=False)
    else:
        postgres = request.getfixturevalue("postgres")
        catalog = PostgresCatalog(postgres.url(postgres.new_database()), is_durable=False)
    catalog.start()
    yield catalog
    await asyncio.to_thread(catalog.close)


class TestSharedLeases(LeasesContract):
    """The leases of one process among several keep the contract of a process alone."""

    @pytest.fixture(autouse=True)
    def on(self, catalog: Catalog) -> None:
        """Keep the catalog for `make_leases`."""
        self.catalog = catalog

    def make_leases(self) -> Leases:
        """Give leases that nobody holds."""
        return SharedLeases(self.catalog, self.catalog, node="one")

    async def settle(self) -> None:
        """Give transactions their time."""
        await asyncio.sleep(0.1)


@pytest.fixture
async def processes(catalog: Catalog) -> AsyncIterator[Callable[[str], "asyncio.Future[SharedLeases]"]]:
    """Make leases for a process of a name, which is there until the test ends."""
    async with AsyncExitStack() as stack:

        async def make(node: str) -> SharedLeases:
            leases = SharedLeases(catalog, catalog, node=node)
            await stack.enter_async_context(leases.beating())
            return leases

        yield lambda node: asyncio.ensure_future(make(node))


def an_upload() -> Upload:
    return Upload(
        id="up",
        owner="user:alice",
        declared=Declared(name="a", door="tus"),
        target=Target.of("local"),
        limit_bytes=None,
        reserved_bytes=0,
        is_resumable=True,
        created_at=NOW,
        touched_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )


async def test_a_newcomer_elsewhere_asks_and_waits(processes: Callable[..., "asyncio.Future[SharedLeases]"]) -> None:
    """A holder in another process hears of a newcomer within a second, and is succeeded when it has left."""
    one, other = await processes("one"), await processes("other")
    old = Holder(one, segment=0)
    await old.has_it.wait()
    new = Holder(other, segment=0)
    async with asyncio.timeout(_SOON_S):
        await old.was_asked.wait()
    assert not new.has_it.is_set()

    await old.leave()
    async with asyncio.timeout(_SOON_S):
        await new.has_it.wait()
    await new.leave()


async def test_the_whole_upload_excludes_segments_elsewhere(
    processes: Callable[..., "asyncio.Future[SharedLeases]"],
) -> None:
    """Who wants the whole upload is the next one: nobody new gets a segment in any process meanwhile."""
    one, other, third = [await processes(name) for name in ("one", "other", "third")]
    parts = [Holder(leases, segment=number) for number, leases in enumerate((one, third, one))]
    for part in parts:
        await part.has_it.wait()
    whole = Holder(other)
    async with asyncio.timeout(_SOON_S):
        await asyncio.gather(*(part.was_asked.wait() for part in parts))
    late = Holder(one, segment=7)
    for part in parts:
        assert not whole.has_it.is_set()
        await part.leave()
    await whole.has_it.wait()
    await asyncio.sleep(0.3)
    assert not late.has_it.is_set()

    await whole.leave()
    await late.has_it.wait()
    await late.leave()


async def test_two_processes_never_have_it_at_once(
    processes: Callable[..., "asyncio.Future[SharedLeases]"],
) -> None:
    """Writers of three processes come, give up, and leave: a segment has one of them at a time."""
    leases = [await processes(name) for name in ("one", "two", "three")]
    inside: set[int | None] = set()

    async def write(turn: int) -> None:
        segment = None if turn % 7 == 0 else turn % 3
        async with leases[turn % 3].hold("up", segment):
            assert segment not in inside
            assert None not in inside
            assert segment is not None or not inside
            inside.add(segment)
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.002)
            inside.remove(segment)

    tasks = [asyncio.ensure_future(write(turn)) for turn in range(60)]
    await asyncio.sleep(0.05)
    for task in tasks[::11]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [] == [r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)]
    assert not await leases[0].is_held("up")


async def test_a_process_that_stands_still_is_succeeded(
    catalog: Catalog, processes: Callable[..., "asyncio.Future[SharedLeases]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder whose heart stands still loses its lease to a newcomer, and what it commits afterwards is void."""
    monkeypatch.setattr(shared, "_DEAD_S", 0.3)
    await catalog.write(lambda tx: tx.uploads.add(an_upload()))
    stopped = SharedLeases(catalog, catalog, node="stopped")  # it never beats again
    await catalog.write(lambda tx: tx.leases.beat("stopped"))
    async with stopped.hold("up", 0):
        loaded = await catalog.read(lambda tx: tx.uploads.get("up"))
        assert loaded is not None
        assert 0 == loaded.fence
        successor = await processes("successor")
        async with successor.hold("up", 0):
            there = await catalog.read(lambda tx: tx.uploads.get("up"))
            assert there is not None
            with pytest.raises(Interrupted):
                there.require_holder(loaded)
    async with asyncio.timeout(_SOON_S), successor.hold("up"):
        pass  # what the stopped one gave back wasn't its own any more, and disturbs nobody


async def test_a_living_process_is_never_succeeded(
    catalog: Catalog, processes: Callable[..., "asyncio.Future[SharedLeases]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder that doesn't leave, but lives, keeps its lease; the newcomer is told when to come back."""
    monkeypatch.setattr(shared, "PATIENCE_S", 1.0)
    monkeypatch.setattr(shared, "_DEAD_S", 0.3)
    monkeypatch.setattr(shared, "_BEAT_S", 0.05)
    await catalog.write(lambda tx: tx.uploads.add(an_upload()))
    one, other = await processes("one"), await processes("other")
    async with one.hold("up", 0):
        for segment in (0, None):
            with pytest.raises(Unavailable) as raised:
                await other.hold("up", segment).__aenter__()
            assert ("upload_busy", 60) == (raised.value.stable_code, raised.value.retry_after_s)
        async with other.hold("up", 1):
            pass
    there = await catalog.read(lambda tx: tx.uploads.get("up"))
    assert there is not None
    assert 0 == there.fence


async def test_what_the_dead_left_is_tidied_up(
    catalog: Catalog, processes: Callable[..., "asyncio.Future[SharedLeases]"]
) -> None:
    """Leases of processes that are gone go, and so do their names; those of the living stay."""
    await catalog.write(lambda tx: tx.leases.take("old", None, node="dead"))
    await catalog.write(lambda tx: tx.leases.take("older", 4, node="dead"))
    living = await processes("living")
    async with living.hold("new", 2):
        await living.tidy()

        assert {"living"} == set(await catalog.read(lambda tx: tx.leases.beats()))
        assert ["new"] == list(await catalog.read(lambda tx: tx.leases.left_over([])))
    assert [] == list(await catalog.read(lambda tx: tx.leases.left_over([])))
