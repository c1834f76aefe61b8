"""Bring a database to the present tables."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from carryall.catalog.postgres import FOREIGN, postgres_engine, sqlstate
from carryall.catalog.sqlite import sqlite_engine
from carryall.model.errors import Unavailable

_SCRIPTS = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = 0x63_61_72_72_79  # the key of an advisory lock: "carry"
_REASONS = {
    "28P01": "PostgreSQL refused the password in CARRYALL_DATABASE_URL.",
    "28000": "PostgreSQL doesn't let the user in CARRYALL_DATABASE_URL in.",
    "3D000": "PostgreSQL has no database of the name in CARRYALL_DATABASE_URL. Make it with createdb.",
    "42501": "PostgreSQL doesn't let the user in CARRYALL_DATABASE_URL make tables. Let the user own the database.",
    "53300": "PostgreSQL has no connection left. Raise its max_connections, or stop what holds them.",
    "57P03": "PostgreSQL is starting or stopping. Try again in a moment.",
}


def migrate_sqlite(path: Path) -> None:
    """Create the file or bring it forward, in one transaction; never back. Safe to call at every start.

    Raises Unavailable when the file is no catalog, or was made by a newer Carryall.
    """
    path.touch(mode=0o600)  # the operator's data folder may be open to others; SQLite's other files get the same mode
    # Alembic changes a table by making it anew: dropping the old one must not cascade.
    engine = sqlite_engine(path, begin="BEGIN IMMEDIATE", pragmas=("foreign_keys=OFF",))
    try:
        with engine.begin() as connection:
            migrate(connection)
    except DBAPIError as error:
        raise Unavailable(
            f"The catalog can't be opened ({error.orig}). If it is damaged, restore catalog.db from a backup.",
            code="catalog_failed",
        ) from error
    finally:
        engine.dispose()


async def migrate_postgres(url: str) -> None:
    """Make the tables or bring them forward, in one transaction; never back. Of many who call it at once one does it.

    Raises Unavailable when the database can't be reached or used, or was made by a newer Carryall.
    """
    engine = postgres_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
            if (encoding := await connection.scalar(text("SHOW server_encoding"))) != "UTF8":
                raise Unavailable(
                    f"The database in CARRYALL_DATABASE_URL is encoded as {encoding}; it must be UTF8. "
                    "Make another one with createdb -E UTF8 -T template0.",
                    code="catalog_failed",
                )
            await connection.run_sync(migrate)
    except FOREIGN as error:
        raise Unavailable(_reason(error), code="catalog_failed") from error
    finally:
        await engine.dispose()


def _reason(error: Exception) -> str:
    """Say to the operator what is wrong, without a word of the URL: it may have a password."""
    state = sqlstate(error)
    if state in _REASONS:
        return _REASONS[state]
    if state is not None:
        return f"PostgreSQL refuses the catalog, with SQLSTATE {state}; its log says more."
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        why = error.strerror or "the connection failed"
    else:
        why = "no answer came" if isinstance(error, TimeoutError) else "the connection failed"
    return f"PostgreSQL can't be reached at the address in CARRYALL_DATABASE_URL: {why}."


def migrate(connection: Connection) -> None:
    """Run the migrations that this database hasn't seen, in the caller's transaction.

    Raises Unavailable when the database was made by a newer Carryall.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Unavailable(
            "The catalog was written by a newer version of Carryall. Start that version, or restore a backup.",
            code="catalog_too_new",
        ) from error
