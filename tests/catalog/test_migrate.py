"""Migrations bring any database to the present tables, once, and as a whole."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from carryall.catalog import migrate
from carryall.catalog.migrate import migrate_sqlite
from carryall.catalog.sqlite import SqliteCatalog, sqlite_engine
from carryall.catalog.tables import metadata
from carryall.model.errors import Unavailable
from carryall.model.file import CopyState
from carryall.model.target import Target
from carryall.model.upload import Segment
from carryall.model.work import JobState


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


def migrated_to(path: Path, revision: str) -> None:
    """Make a database as an earlier version had it."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    engine = sqlite_engine(path, begin="BEGIN IMMEDIATE", pragmas=("foreign_keys=OFF",))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


_BEFORE_DELIVERIES = """
    INSERT INTO uploads (id, owner, declared, store, reserved_bytes, is_resumable, state, created_at, touched_at,
        expires_at, fence) VALUES ('up', 'user:a', '{"name": "a", "door": "v1"}', 'local', 9, 1, 'open', 1, 2, 3, 4);
    INSERT INTO segments (upload_id, idx, length, extent) VALUES ('up', 0, 5, 6);
    INSERT INTO files (id, short_id, owner, door, name, size, sha256, media_type, created_at, metadata)
        VALUES ('file', 'short', 'user:a', 'v1', 'a', 7, 'ab', 'text/plain', 1, '{}');
    INSERT INTO links (id, file_id, owner, created_at, taken) VALUES ('link', 'file', 'user:a', 1, 0);
    INSERT INTO copies (file_id, store, key, state, attempts, stored_at) VALUES ('file', 'local', 'up', 'stored', 0, 1);
    INSERT INTO jobs (id, kind, payload, state, attempts, max_attempts, run_at, leased_until, created_at)
        VALUES ('job', 'erase', '{}', 'running', 1, 10, 1, 2, 1);
"""


async def test_files_of_versions_without_deliveries_are_kept(tmp_path: Path) -> None:
    """Migration 0005: bytes lie where their key says, the store of an upload is its target, and all else stays."""
    path = tmp_path / "catalog.db"
    migrated_to(path, "0004")
    with closing(sqlite3.connect(path)) as old, old:
        old.executescript(_BEFORE_DELIVERIES)

    migrate_sqlite(path)

    catalog = SqliteCatalog(path)
    catalog.start()
    file, upload, link, job = await catalog.read(
        lambda tx: (tx.files.get("file"), tx.uploads.get("up"), tx.links.get("link"), tx.jobs.get("job"))
    )
    held = await catalog.read(lambda tx: tx.files.holds_key("local", "up"))
    catalog.close()
    assert file is not None
    assert upload is not None
    (copy,) = file.copies
    assert ("up", "up", CopyState.STORED, False) == (copy.key, copy.location, copy.state, copy.is_cache)
    assert (Target.of("local"), True, False) == (file.target, file.is_delivered, file.gives_up)
    assert (Target.of("local"), {0: Segment(0, 5, 6)}, 4) == (upload.target, upload.segments, upload.fence)
    assert link is not None
    assert job is not None
    assert (JobState.RUNNING, None) == (job.state, job.node)
    assert held
