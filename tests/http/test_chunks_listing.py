"""A user's list is read page by page, and leaves nothing out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from carryall.config import ensure_secrets, load_settings
from carryall.http.surfaces.chunks import routes
from carryall.model.principal import Kind, Plan, Principal
from carryall.model.upload import Declared, Mode
from carryall.testing.fakes import ScriptedBody
from carryall.wiring import House, build

ALICE = Principal("jwt:alice", "alice", Kind.JWT, Plan("jwt"))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    settings = load_settings({"CARRYALL_DATA_DIR": str(tmp_path / "data")}, env_file=None)
    settings, _ = ensure_secrets(settings, settings.data_dir / "secrets")
    async with build(settings).open() as opened:
        yield opened


@pytest.mark.parametrize("page", [1, 2, 3, 7, 8])
async def test_every_page_is_read(house: House, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """Files of equal and of different names are listed once each, wherever the pages end."""
    monkeypatch.setattr(routes, "_PAGE", page)
    for number, name in enumerate(("b", "a", "b", "b", "c", "a", "b")):
        declared = Declared(name=name, door="chunks", external_id=str(number))
        upload = await house.context.door.open(ALICE, declared)
        await house.context.door.receive(ALICE, upload.id, ScriptedBody(b"x"), mode=Mode.REPLACE)
        await house.context.door.complete(ALICE, upload.id)

    found = list(await routes._all_files(house.context, ALICE))

    assert list("aabbbbc") == [file.name for file in found]
    assert [str(number) for number in range(7)] == sorted(file.external_id or "" for file in found)
