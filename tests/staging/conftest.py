"""Staging with few folders: making and removing all of them takes longer than most of these tests."""

import pytest

from carryall.staging import disk


@pytest.fixture(autouse=True)
def few_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread extents over 4 folders."""
    monkeypatch.setattr(disk, "_SHARDS", 4)
