"""PostgreSQL goes away, comes back, or loses an answer: nothing is done twice, and the catalog recovers by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from carryall.catalog.postgres import PostgresCatalog
from carryall.model.account import User
from carryall.model.errors import Unavailable
from carryall.ports.catalog import Tx
from carryall.testing.catalog_contract import names
from carryall.testing.fakes import MORNING
from carryall.testing.gates import LoopGate

_RECOVERED_S = 5.0  # fault 11
_THROW_OUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"


@pytest.fixture
def database(postgres: Any) -> str:
    """Give the name of an empty catalog."""
    return str(postgres.new_database())


@pytest.fixture
async def catalog(postgres: Any, database: str) -> AsyncIterator[PostgresCatalog]:
    """Give the catalog."""
    async with opened(postgres.url(database)) as made:
        yield made


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresCatalog]:
    """Give a catalog that is open inside the block."""
    made = PostgresCatalog(url)
    made.start()
    yield made
    await asyncio.to_thread(made.close)


def add(name: str) -> Callable[[Tx], None]:
    """Give work that adds a user."""
    return lambda tx: tx.users.add(User(name, MORNING))


async def test_a_cut_connection_is_made_anew(catalog: PostgresCatalog, postgres: Any, database: str) -> None:
    """What lay in the pool when PostgreSQL threw everybody out fails no request."""
    await asyncio.gather(*(catalog.write(add(f"user{number}")) for number in range(8)))
    postgres.run(_THROW_OUT, database)

    await asyncio.gather(*(catalog.write(add(f"user{number}")) for number in range(8, 16)))

    assert 16 == len(await names(catalog))


async def test_a_transaction_that_is_cut_runs_again(catalog: PostgresCatalog, postgres: Any, database: str) -> None:
    """A connection that goes before COMMIT was said took nothing with it: the work is done once."""
    gate, runs = LoopGate(), 0

    def work(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        add("alice")(tx)
        gate.wait()
        tx.users.get("alice")

    writing = asyncio.ensure_future(catalog.write(work))
    await gate.is_reached()
    postgres.run(_THROW_OUT, database)
    gate.open()
    await writing

    assert 2 == runs
    assert ["alice"] == await names(catalog)


async def test_a_restart_is_survived(catalog: PostgresCatalog, postgres: Any) -> None:
    """Fault 11: while PostgreSQL is away requests are told to come back; 5 s after it returned they succeed."""
    await asyncio.gather(*(catalog.write(add(f"user{number}")) for number in range(8)))
    await asyncio.to_thread(postgres.stop)
    try:
        for order in (catalog.write(add("lost")), catalog.read(lambda tx: tx.users.all())):
            with pytest.raises(Unavailable) as raised:
                await order
            assert ("catalog_failed", 5) == (raised.value.stable_code, raised.value.retry_after_s)
    finally:
        await asyncio.to_thread(postgres.start)

    began = time.monotonic()
    await asyncio.gather(*(catalog.write(add(f"user{number}")) for number in range(8, 16)))
    assert time.monotonic() - began < _RECOVERED_S
    assert 16 == len(await names(catalog))


async def test_who_stands_still_is_put_aside(catalog: PostgresCatalog, postgres: Any, database: str) -> None:
    """A process that stops in the middle of a transaction blocks nobody for long, and does its work when it wakes."""
    gate = LoopGate()

    def stand_still(tx: Tx) -> None:
        tx.usages.reserve("alice", 1, total_bytes=10)
        gate.wait()
        tx.usages.get("alice")

    await catalog.write(lambda tx: tx.usages.reserve("alice", 1, total_bytes=10))
    standing = asyncio.ensure_future(catalog.write(stand_still))
    await gate.is_reached()
    async with opened(postgres.url(database)) as other, asyncio.timeout(_RECOVERED_S):
        assert await other.write(lambda tx: tx.usages.reserve("alice", 8, total_bytes=10))
    gate.open()
    await standing

    assert 10 == (await catalog.read(lambda tx: tx.usages.get("alice"))).reserved_bytes


class Cutter:
    """Stands between a catalog and PostgreSQL, and cuts the connection when COMMIT is said: before or after it."""

    def __init__(self, *, passes_commit: bool) -> None:
        self.passes_commit = passes_commit
        self.is_armed = False
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def between(self, url: str, folder: Path) -> AsyncIterator[str]:
        """Give the URL of a database behind the cutter."""
        real = url.partition("host=")[2]
        self.real = f"{real}/.s.PGSQL.5432"
        server = await asyncio.start_unix_server(self._accept, folder / ".s.PGSQL.5432")
        yield url.replace(real, str(folder))
        server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._tasks, *(w.wait_closed() for w in self._writers), return_exceptions=True)

    def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.ensure_future(self._serve(client, to_client)))

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        answers, to_server = await asyncio.open_unix_connection(self.real)
        self._writers += [to_client, to_server]
        back = asyncio.ensure_future(_pump(answers, to_client))
        self._tasks.append(back)
        while data := await client.read(65536):
            if self.is_armed and b"COMMIT" in data:
                back.cancel()
                if self.passes_commit:
                    to_server.write(data)
                    await asyncio.wait([back])
                    await answers.read(1)  # now it is committed
                break
            to_server.write(data)
        to_server.close()
        to_client.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
    target.close()


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_lost_answer_to_commit_is_not_guessed(
    postgres: Any,
    database: str,
    tmp_path: Path,
    is_committed: bool,  # noqa: FBT001
) -> None:
    """Nobody can know whether it was committed: the work isn't run again, and whoever asked looks for themselves."""
    runs = 0

    def work(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        add("alice")(tx)

    cutter = Cutter(passes_commit=is_committed)
    async with cutter.between(postgres.url(database), tmp_path) as url, opened(url) as catalog:
        await catalog.read(lambda tx: tx.users.all())
        cutter.is_armed = True
        with pytest.raises(Unavailable) as raised:
            await catalog.write(work)
        cutter.is_armed = False

        assert ("catalog_failed", 1) == (raised.value.stable_code, runs)
        assert (["alice"] if is_committed else []) == await names(catalog)
