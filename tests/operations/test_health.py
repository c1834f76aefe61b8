"""Whether the server is ready: what no upload can do without, and the stores that can wait."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.operations.conftest import house_on

from carryall.model.errors import CarryallError, StoreError, Unavailable
from carryall.operations import health
from carryall.operations.health import Health
from carryall.stores.local import LocalStore

FAR = replace(LocalStore.capabilities, is_local=False)
REFUSED = StoreError("Store far refuses the keys.", retryable=False, code="store_credentials")


class Asked(LocalStore):
    """A store that says what it is told to, when it is allowed to."""

    def __init__(self, folder: Path, *, name: str = "far", is_local: bool = False) -> None:
        super().__init__(name, folder)
        self.capabilities = replace(FAR, is_local=is_local)  # type: ignore[misc]
        self.error: CarryallError | None = None
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ready(self) -> None:
        """Answer."""
        self.asked += 1
        await self.may_answer.wait()
        if self.error:
            raise self.error


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Asked]:
    """Give a store elsewhere."""
    store = Asked(tmp_path / "far")
    yield store
    await store.close()


@pytest.fixture
async def looked(folder: Path, far: Asked) -> AsyncIterator[Health]:
    """Give what looks at a house with a store elsewhere."""
    async with house_on(folder, others={"far": far}) as house:
        found = Health(house.world, least_free=0)
        yield found
        await found.close()


async def test_all_is_well(looked: Health) -> None:
    """Everything that was looked at is named, the stores in their order."""
    readiness = await looked.readiness()

    assert {"catalog": "ok", "staging": "ok", "store:local": "ok", "store:far": "ok"} == dict(readiness.checks)
    assert ("ready", True) == (readiness.state, readiness.is_ready)
    assert readiness.free_bytes > 0
    assert ["local", "far"] == looked.services


async def test_a_store_elsewhere_can_wait(looked: Health, far: Asked) -> None:
    """While it refuses us uploads are taken, and its own words say why."""
    far.error = REFUSED

    readiness = await looked.readiness()

    assert ("degraded", True) == (readiness.state, readiness.is_ready)
    assert "Store far refuses the keys." == readiness.checks["store:far"]


async def test_another_local_store_can_wait(folder: Path, tmp_path: Path) -> None:
    """So can a second disk, which is asked each time; what it says is no older than the question."""
    disk = Asked(tmp_path / "disk2", name="disk2", is_local=True)
    async with house_on(folder, others={"disk2": disk}) as house:
        looked = Health(house.world, least_free=0)
        disk.error = REFUSED
        assert "degraded" == (await looked.readiness()).state
        disk.error = None
        assert "ready" == (await looked.readiness()).state
    await disk.close()


@pytest.mark.parametrize("part", ["catalog", "staging", "stores"])
async def test_what_no_upload_can_do_without(
    folder: Path, far: Asked, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Without the catalog, staging or the built-in store uploads can't be taken."""

    async def fail(*_: Any) -> Any:
        raise Unavailable("It is away.")

    async with house_on(folder, others={"far": far}) as house:
        plug: Any = {
            "catalog": house.world.catalog,
            "staging": house.world.staging,
            "stores": house.world.stores["local"],
        }
        monkeypatch.setattr(plug[part], "read" if part == "catalog" else "ready", fail)
        readiness = await Health(house.world, least_free=0).readiness()

    assert ("not ready", False) == (readiness.state, readiness.is_ready)
    assert 1 == list(readiness.checks.values()).count("It is away.")


async def test_too_little_room(folder: Path) -> None:
    """A disk that is nearly full takes no uploads."""
    async with house_on(folder) as house:
        readiness = await Health(house.world, least_free=1 << 62).readiness()

    assert "not ready" == readiness.state
    assert "bytes are free" in readiness.checks["staging"]


async def test_many_ask_and_one_question_is_put(looked: Health, far: Asked) -> None:
    """Who comes while the store is asked waits for the same answer; afterwards it is known for a while."""
    far.may_answer.clear()
    asking = [asyncio.ensure_future(looked.readiness()) for _ in range(20)]
    while not far.asked:  # noqa: ASYNC110  the store sets no event
        await asyncio.sleep(0.001)
    far.may_answer.set()

    assert {"ready"} == {readiness.state for readiness in await asyncio.gather(*asking)}
    far.error = REFUSED
    assert "ready" == (await looked.readiness()).state
    assert 1 == far.asked


async def test_what_it_said_grows_old(looked: Health, far: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again when the answer is old, whatever that was."""
    far.error = REFUSED
    assert "degraded" == (await looked.readiness()).state
    monkeypatch.setattr(health, "FRESH_S", 0)
    far.error = None

    assert "ready" == (await looked.readiness()).state


async def test_a_slow_store_is_not_waited_for(looked: Health, far: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question goes on, so that a store that takes long to log in gets there: once, and not at every question."""
    monkeypatch.setattr(health, "PATIENCE_S", 0.01)
    far.may_answer.clear()

    for _ in range(3):
        assert "Store far has not answered yet." == (await looked.readiness()).checks["store:far"]
    far.may_answer.set()
    monkeypatch.setattr(health, "PATIENCE_S", 5)

    assert "ready" == (await looked.readiness()).state
    assert 1 == far.asked


async def test_who_asks_may_leave(looked: Health, far: Asked) -> None:
    """A caller who is gone doesn't take the answer from the others."""
    far.may_answer.clear()
    leaving, staying = (asyncio.ensure_future(looked.readiness()) for _ in range(2))
    while not far.asked:  # noqa: ASYNC110  the store sets no event
        await asyncio.sleep(0.001)

    leaving.cancel()
    far.may_answer.set()

    assert "ready" == (await staying).state


async def test_closing_ends_the_question(looked: Health, far: Asked) -> None:
    """When the server stops, nobody asks any more."""
    far.may_answer.clear()
    asking = asyncio.ensure_future(looked.readiness())
    while not far.asked:  # noqa: ASYNC110  the store sets no event
        await asyncio.sleep(0.001)

    await looked.close()

    with pytest.raises(asyncio.CancelledError):
        await asking
