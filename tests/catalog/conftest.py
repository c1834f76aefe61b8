"""A catalog of the present tables: migrating takes longer than most of these tests, so it is done once and copied."""

from pathlib import Path

import pytest

from carryall.catalog.migrate import migrate_sqlite


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty database; copy it, don't use it."""
    path = tmp_path_factory.mktemp("migrated") / "catalog.db"
    migrate_sqlite(path)
    return path
