"""Bring a database to the present tables."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from carryall.catalog.sqlite import sqlite_engine
from carryall.model.errors import Unavailable

_SCRIPTS = Path(__file__).parent / "migrations"


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
