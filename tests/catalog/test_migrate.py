"""Migrations bring any database to the present tables, once, and as a whole."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from carryall.catalog.migrate import migrate_sqlite
from carryall.catalog.tables import metadata
from carryall.model.errors import Unavailable


def differences(path: Path) -> list[Any]:
    """Compare a database with the tables as the code describes them, types included."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            return list(compare_metadata(context, metadata))
    finally:
        engine.dispose()


def schema(path: Path) -> list[tuple[Any, ...]]:
    """Give everything that a database has, as SQLite would make it again."""
    connection = sqlite3.connect(path)
    try:
        return sorted(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall(), key=str)
    finally:
        connection.close()


def test_migrations_make_the_tables(migrated: Path) -> None:
    """What the migrations make is exactly what the code describes, with every index and constraint."""
    assert [] == differences(migrated)


def test_migrating_twice_is_once(migrated: Path, tmp_path: Path) -> None:
    """A start on a present database changes nothing and keeps what is in it."""
    path = tmp_path / "catalog.db"
    migrate_sqlite(path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("INSERT INTO users VALUES ('alice', NULL, 0, 0)")
    connection.close()

    migrate_sqlite(path)

    connection = sqlite3.connect(path)
    assert [("alice",)] == connection.execute("SELECT name FROM users").fetchall()
    connection.close()
    assert schema(migrated) == schema(path)


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """A database of a later version is not touched; the error says what to do."""
    path = tmp_path / "catalog.db"
    migrate_sqlite(path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = path.read_bytes()

    with pytest.raises(Unavailable, match="newer version") as raised:
        migrate_sqlite(path)

    assert "catalog_too_new" == raised.value.stable_code
    assert before == path.read_bytes()


@pytest.mark.parametrize("table", ["files", "grants"])
def test_a_migration_is_all_or_nothing(
    migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """A start that dies half-way through leaves a database with which the next start succeeds."""
    path, real = tmp_path / "catalog.db", op.create_table

    def dying(name: str, *columns: Any, **options: Any) -> Any:
        if name == table:
            raise KeyboardInterrupt
        return real(name, *columns, **options)

    monkeypatch.setattr(op, "create_table", dying)
    with pytest.raises(KeyboardInterrupt):
        migrate_sqlite(path)
    monkeypatch.undo()

    migrate_sqlite(path)

    assert schema(migrated) == schema(path)
