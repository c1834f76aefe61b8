"""A store with few folders: making and removing all of them takes longer than most of these tests."""

import pytest

from carryall.stores import local


@pytest.fixture(autouse=True)
def few_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread files over 4 folders."""
    monkeypatch.setattr(local, "_SHARDS", 4)
