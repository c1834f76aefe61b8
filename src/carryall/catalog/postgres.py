"""The catalog on PostgreSQL: SERIALIZABLE transactions that run again when others got in their way.

The work functions know nothing of it: they run on greenlets over asyncpg (measured in docs/adr/0020).
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoneIsFree
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from carryall.catalog.lanes import Lanes
from carryall.catalog.tx import SqlTx
from carryall.model.errors import NoRoom, Unavailable
from carryall.ports.catalog import Tx

T = TypeVar("T")
_PATIENCE_S = 10  # of a transaction that others get in the way of, or that waits for a connection
_CONNECT_S = 5
_STATEMENT_S = 15  # a network that swallows everything is a failure after this
_STOPPED_S = 3  # a process that stands still in a transaction loses it, and what it locked, after this
_PAUSES_S = (0.001, 0.1)  # the first and the longest, at the most: each is drawn by lot
_FEW = 3
_FOR_READS = 2  # connections that transactions which write leave free

_IN_THE_WAY = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
_ONCE_MORE = frozenset({"23505", "0A000"})  # unique_violation: now it is seen; a plan from before a migration
_FULL = "53100"  # disk_full

FOREIGN = (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, NoneIsFree)
"""What SQLAlchemy, asyncpg and the network raise; the built-in TimeoutError is an OSError."""


class PostgresCatalog:
    """Implements `ports.catalog.Catalog`. `start` before use, `close` at the end; the tables must be there.

    Args:
        url: `postgresql://user:password@host/database`, with all that libpq's URLs may say.
        is_durable: False trades the moments before a crash of PostgreSQL's machine for speed.
        connections: how many at the most; transactions beyond that wait for their turn.
    """

    def __init__(self, url: str, *, is_durable: bool = True, connections: int = 8) -> None:
        self._engine = postgres_engine(url, is_durable=is_durable, connections=connections)
        self._writing = self._engine.execution_options(isolation_level="SERIALIZABLE")
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._lanes = Lanes(max(1, connections - _FOR_READS))
        self._running: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    def start(self) -> None:
        """Begin to take transactions; called in the event loop that runs them."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Finish what was begun, then let go of the database; called in another thread than the loop's."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` and commit; run it again when others got in its way."""
        return await self._whole(self._write(partial(_attempt, self._writing, work)))

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on a snapshot."""
        return await self._whole(_until_done(partial(_attempt, self._reading, work)))

    async def _write(self, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._lanes.one():
            value = await _until_done(attempt, met=self._lanes.met)
            self._lanes.went_well()
            return value

    async def _close(self) -> None:
        self._is_closed = True
        if self._running:
            await asyncio.wait(self._running)
        await self._engine.dispose()

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it to its end, whether or not somebody still waits for it."""
        if self._is_closed:
            work.close()
            raise Unavailable("The server is shutting down. Try again later.", code="catalog_closed", retry_after_s=5)
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever ordered it has it, or doesn't want it any more


async def _attempt(engine: AsyncEngine, work: Callable[[Tx], T]) -> T:
    async with engine.connect() as connection:
        value = await connection.run_sync(lambda inner: work(SqlTx(inner)))
        try:
            await connection.commit()
        except FOREIGN as error:
            if sqlstate(error) in _IN_THE_WAY:
                raise
            raise unavailable(error) from error  # perhaps it was committed: running it again could do it twice
        return value


async def _until_done(attempt: Callable[[], Coroutine[Any, Any, T]], met: Callable[[], None] = lambda: None) -> T:
    deadline, pause_s = time.monotonic() + _PATIENCE_S, _PAUSES_S[0]
    tries = 0
    while True:
        tries += 1
        try:
            return await attempt()
        except FOREIGN as error:
            is_in_the_way = sqlstate(error) in _IN_THE_WAY
            if time.monotonic() > deadline or not (is_in_the_way or (tries < _FEW and _is_passing(error))):
                raise unavailable(error) from error
        if is_in_the_way:
            met()
        await asyncio.sleep(random.uniform(0, pause_s))  # noqa: S311  # no secret: two who met shouldn't meet again
        pause_s = min(2 * pause_s, _PAUSES_S[1])


def _is_passing(error: BaseException) -> bool:
    """Tell whether the same may succeed at once: on a new connection, or now that somebody else has the name."""
    return sqlstate(error) in _ONCE_MORE or (isinstance(error, DBAPIError) and error.connection_invalidated)


def sqlstate(error: BaseException) -> str | None:
    """Give PostgreSQL's code for what happened (SQLSTATE), where the error came from there."""
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)


def unavailable(error: BaseException) -> Unavailable:
    """Say what a request may know of an error of the database."""
    if sqlstate(error) == _FULL:
        return NoRoom("The disk of the server's database is full. Try again later.", retry_after_s=60)
    return Unavailable("The catalog can't be used now. Try again later.", code="catalog_failed", retry_after_s=5)


def postgres_engine(url: str, *, is_durable: bool = True, connections: int = 1) -> AsyncEngine:
    """Open a pool; nothing is connected yet."""
    own = {
        "application_name": "carryall",
        "idle_in_transaction_session_timeout": f"{_STOPPED_S}s",
        "jit": "off",
        **({} if is_durable else {"synchronous_commit": "off"}),
    }
    connect = partial(asyncpg.connect, url, timeout=_CONNECT_S, command_timeout=_STATEMENT_S, server_settings=own)
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_PATIENCE_S,
    )
