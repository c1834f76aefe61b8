"""The catalog on SQLite: one writer thread that commits in groups, and a few readers on snapshots.

Measured before the choice (docs/adr/0008): one synchronous engine on one thread costs a tenth of SQLAlchemy's async
engine over aiosqlite. While one commit waits for the disk, the next transactions gather and share the next commit.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from carryall.catalog.tx import SqlTx
from carryall.model.errors import NoRoom, Unavailable
from carryall.ports.catalog import Tx

T = TypeVar("T")
_GROUP = 64  # transactions in one commit at the most: bounds how long the first of them waits
_READERS = 2
_PATIENCE_S = 30.0
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class _Order:
    work: Callable[[Tx], Any]
    result: Future[Any]


class SqliteCatalog:
    """Implements `ports.catalog.Catalog`. `start` before use, `close` at the end; the tables must be there."""

    def __init__(self, path: Path, *, is_durable: bool = True) -> None:
        synchronous = "FULL" if is_durable else "NORMAL"
        self._writing = sqlite_engine(path, begin="BEGIN IMMEDIATE", pragmas=(f"synchronous={synchronous}",))
        self._reading = sqlite_engine(path, begin="BEGIN", pragmas=("query_only=ON",))
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._taking = threading.Lock()  # held while an order is put: none may come behind the last one
        self._is_closed = False
        self._writer = threading.Thread(target=self._write_until_closed, name="catalog-writer", daemon=True)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="catalog-reader")

    def start(self) -> None:
        """Begin to take transactions."""
        self._writer.start()

    def close(self) -> None:
        """Finish what was ordered, then let go of the database."""
        with self._taking:
            self._is_closed = True
            self._orders.put(None)
        if self._writer.is_alive():
            self._writer.join()
        self._readers.shutdown()
        self._writing.dispose()
        self._reading.dispose()

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on the writer thread and commit."""
        result: Future[T] = Future()
        with self._taking:
            self._check_open()
            self._orders.put(_Order(work, result))
        return await asyncio.wrap_future(result)

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on a reader thread."""
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _check_open(self) -> None:
        if self._is_closed:
            raise Unavailable("The server is shutting down. Try again later.", code="catalog_closed", retry_after_s=5)

    def _read(self, work: Callable[[Tx], T]) -> T:
        try:
            with self._reading.connect() as connection:
                return work(SqlTx(connection))
        except DBAPIError as error:
            raise _unavailable(error) from error

    def _write_until_closed(self) -> None:
        is_open = True
        while is_open:
            first = self._orders.get()
            if first is None:
                return
            group = [first]
            with suppress(queue.Empty):
                while len(group) < _GROUP:
                    order = self._orders.get_nowait()
                    if order is None:
                        is_open = False
                        break
                    group.append(order)
            self._commit_group([order for order in group if order.result.set_running_or_notify_cancel()])

    def _commit_group(self, group: list[_Order]) -> None:
        done: list[tuple[_Order, Any]] = []
        try:
            with self._writing.begin() as connection:
                for order in group:
                    _run(connection, order, done, is_alone=len(group) == 1)
        except _AloneFailed as failed:
            group[0].result.set_exception(failed.reason)
        except BaseException as error:  # noqa: BLE001  # without this thread every request would wait for ever
            reason = _unavailable(error) if isinstance(error, DBAPIError) else error
            for order in group:
                if not order.result.done():
                    order.result.set_exception(reason)
        else:
            for order, value in done:
                order.result.set_result(value)


class _AloneFailed(BaseException):
    """Rolls back the whole transaction of a single order, without a savepoint."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__()
        self.reason = reason


def _run(connection: Connection, order: _Order, done: list[tuple[_Order, Any]], *, is_alone: bool) -> None:
    """Run one order; in company it has a savepoint, so that its failure undoes nobody else's work."""
    savepoint = None if is_alone else connection.begin_nested()
    try:
        value = order.work(SqlTx(connection))
    except BaseException as reason:  # noqa: BLE001  # whatever it is belongs to the one who ordered, not to this thread
        mapped = _unavailable(reason) if isinstance(reason, DBAPIError) else reason
        if savepoint is None:
            raise _AloneFailed(mapped) from None
        try:
            savepoint.rollback()
        except DBAPIError as gone:  # a full disk undoes the whole transaction: everybody gets the reason
            raise (reason if isinstance(reason, DBAPIError) else gone) from None
        order.result.set_exception(mapped)
        return
    if savepoint is not None:
        savepoint.commit()
    done.append((order, value))


def _unavailable(error: DBAPIError) -> Unavailable:
    if "full" in str(error.orig):
        return NoRoom("The server's disk is full. Try again later.", retry_after_s=60)
    return Unavailable("The catalog can't be used now. Try again later.", code="catalog_failed", retry_after_s=5)


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _keep_a_log(connection: Any) -> None:
    """Switch to WAL. Of those who open a new file at once each wants it alone for that, and SQLite lets nobody wait."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def sqlite_engine(path: Path, *, begin: str, pragmas: tuple[str, ...]) -> Engine:
    """Open a database so that a transaction begins when we say so, and schema changes are part of it."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": _PATIENCE_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        # SQLite's own knows ASCII alone: a search for names would tell "Ä" from "ä".
        connection.create_function("lower", 1, _lower, deterministic=True)
        _keep_a_log(connection)
        for pragma in ("foreign_keys=ON", "case_sensitive_like=ON", "busy_timeout=30000", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
