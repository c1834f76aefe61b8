"""Migrations on PostgreSQL: the same tables, as a whole, also when several servers start at once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import JSON, Connection

from carryall.catalog.migrate import migrate_postgres
from carryall.catalog.postgres import PostgresCatalog, postgres_engine
from carryall.catalog.tables import metadata
from carryall.model.account import User
from carryall.model.errors import Unavailable
from carryall.testing.fakes import MORNING

_EVERYTHING = """
    SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT indexname, indexdef, '', '', '', '' FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2
"""


@pytest.fixture
def bare(postgres: Any) -> str:
    """Give the name of a database without tables."""
    name = postgres.new_database()
    postgres.run("DROP SCHEMA public CASCADE", database=name)
    postgres.run("CREATE SCHEMA public", database=name)
    postgres.run("GRANT USAGE ON SCHEMA public TO public", database=name)
    return str(name)


async def looked_at(url: str, look: Callable[[Connection], Any]) -> Any:
    """Give what a function sees on a connection."""
    engine = postgres_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(look)
    finally:
        await engine.dispose()


def default_differs(_context: Any, _found: Any, column: Any, *_defaults: Any) -> bool | None:
    """Leave it to Alembic, except for JSON, which PostgreSQL can't compare."""
    return False if isinstance(column.type, JSON) else None


async def test_migrations_make_the_tables(postgres: Any, bare: str) -> None:
    """What the migrations make is exactly what the code describes, with every index and constraint."""
    await migrate_postgres(postgres.url(bare))

    def differences(connection: Connection) -> list[Any]:
        opts = {"compare_type": True, "compare_server_default": default_differs}
        return list(compare_metadata(MigrationContext.configure(connection, opts=opts), metadata))

    assert [] == await looked_at(postgres.url(bare), differences)


async def test_texts_sort_by_code_points(postgres: Any, bare: str) -> None:
    """Every column of text has the collation that compares bytes, whatever the database's own is."""
    await migrate_postgres(postgres.url(bare))

    rows = postgres.run(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type IN ('text', 'character varying') "
        "AND table_name <> 'alembic_version'",
        database=bare,
    )
    assert {"C"} == {row["collation_name"] for row in rows}, rows


async def test_migrating_twice_is_once(postgres: Any, bare: str) -> None:
    """A start on a present database changes nothing and keeps what is in it."""
    await migrate_postgres(postgres.url(bare))
    before = postgres.run(_EVERYTHING, database=bare)
    postgres.run("INSERT INTO users VALUES ('alice', NULL, false, 0)", database=bare)

    await migrate_postgres(postgres.url(bare))

    assert before == postgres.run(_EVERYTHING, database=bare)
    assert [("alice",)] == [tuple(row) for row in postgres.run("SELECT name FROM users", database=bare)]


async def test_servers_that_start_at_once_all_succeed(postgres: Any, bare: str) -> None:
    """One makes the tables, the others wait for it; then all can use them."""
    await asyncio.gather(*(migrate_postgres(postgres.url(bare)) for _ in range(5)))

    catalog = PostgresCatalog(postgres.url(bare))
    catalog.start()
    await catalog.write(lambda tx: tx.users.add(User("alice", MORNING)))
    await asyncio.to_thread(catalog.close)
    assert 1 == postgres.run("SELECT count(*) FROM alembic_version", database=bare)[0][0]


async def test_a_newer_database_is_refused(postgres: Any, bare: str) -> None:
    """A database of a later version is not touched; the error says what to do."""
    await migrate_postgres(postgres.url(bare))
    postgres.run("UPDATE alembic_version SET version_num = '9999'", database=bare)

    with pytest.raises(Unavailable, match="newer version") as raised:
        await migrate_postgres(postgres.url(bare))

    assert "catalog_too_new" == raised.value.stable_code


@pytest.mark.parametrize("table", ["files", "grants"])
async def test_a_migration_is_all_or_nothing(
    postgres: Any, bare: str, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """A start that dies half-way through leaves nothing behind, and the next start succeeds."""
    real = op.create_table

    def dying(name: str, *columns: Any, **options: Any) -> Any:
        if name == table:
            raise ZeroDivisionError
        return real(name, *columns, **options)

    monkeypatch.setattr(op, "create_table", dying)
    with pytest.raises(ZeroDivisionError):
        await migrate_postgres(postgres.url(bare))
    monkeypatch.undo()
    assert [] == postgres.run(_EVERYTHING, database=bare)

    await migrate_postgres(postgres.url(bare))
    assert 0 == postgres.run(f"SELECT count(*) FROM {table}", database=bare)[0][0]  # noqa: S608  # our own name


async def test_only_unicode_will_do(postgres: Any) -> None:
    """A database that can't hold every name is refused at once."""
    name = f"latin_{postgres.new_database()}"
    postgres.run(f"CREATE DATABASE {name} ENCODING latin1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")

    with pytest.raises(Unavailable, match="LATIN1; it must be UTF8") as raised:
        await migrate_postgres(postgres.url(name))

    assert "catalog_failed" == raised.value.stable_code


async def _reason(url: str) -> str:
    with pytest.raises(Unavailable) as raised:
        await migrate_postgres(url)
    assert "catalog_failed" == raised.value.stable_code
    return raised.value.message


async def test_what_is_wrong_is_said(postgres: Any, bare: str) -> None:
    """No such server or database, a wrong password, no right to make tables: each has its sentence (threat 25)."""
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text()
    postgres.run("CREATE ROLE locked LOGIN PASSWORD 'right-horse'")
    postgres.run("CREATE ROLE powerless LOGIN")
    hba.write_text("local all locked scram-sha-256\n" + before)
    postgres.run("SELECT pg_reload_conf()")
    url = postgres.url(bare)
    try:
        said = {
            "no database of the name": await _reason(postgres.url("nothing")),
            "refused the password": await _reason(url.replace("postgres:@", "locked:wrong-horse@")),
            "doesn't let the user": await _reason(url.replace("postgres:@", "powerless@")),
            "can't be reached": await _reason("postgresql://u:secret-horse@127.0.0.1:1/db"),
            "can't be reached at": await _reason("postgresql://u:secret-horse@/db?host=/nowhere"),
        }
    finally:
        hba.write_text(before)
        postgres.run("SELECT pg_reload_conf()")
        postgres.run("DROP ROLE locked")
        postgres.run("DROP ROLE powerless")

    assert [] == [(wanted, text) for wanted, text in said.items() if wanted not in text or "horse" in text]
