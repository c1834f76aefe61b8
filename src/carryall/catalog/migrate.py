"""Bring a database to the present tables."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine

from carryall.model.errors import Unavailable

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate_sqlite(path: Path) -> None:
    """Create the file or bring it forward; never back. Safe to call at every start."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.begin() as connection:
            migrate(connection)
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
