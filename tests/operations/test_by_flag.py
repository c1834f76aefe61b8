"""Uploads that end by a flag: what is refused for good ends them, what may pass later doesn't."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.operations.conftest import House, declared, house_on, sha256

from carryall.model.errors import BodyTruncated, Missing, StoreError
from carryall.model.principal import Principal
from carryall.model.upload import State
from carryall.operations.by_flag import Brought, ByFlag
from carryall.operations.joining import Joining
from carryall.operations.resumable import Resumable
from carryall.stores.local import LocalStore
from carryall.testing.fakes import ScriptedBody


@dataclass
class OutOfReach:
    """A store that can't be reached for a while."""

    store: Any
    is_away: bool = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def put(self, *given: Any, **named: Any) -> None:
        """Keep the bytes, or fail as a network does."""
        if self.is_away:
            raise StoreError("The store doesn't answer.", retryable=True)
        await self.store.put(*given, **named)


def by_flag(house: House) -> ByFlag:
    """Give the verbs."""
    return ByFlag(house.world, house.door, Resumable(house.world, house.door, Joining(house.world, house.door)))


async def test_I_A4_a_store_out_of_reach_ends_nothing(folder: Path, alice: Principal) -> None:
    """While the store is away the end can't be answered; said again, it makes the file, once."""

    def wrap(plug: Any) -> Any:
        return OutOfReach(plug) if isinstance(plug, LocalStore) else plug

    async with house_on(folder, wrap=wrap) as house:
        store, verbs = house.world.stores["local"], by_flag(house)
        upload = (await verbs.begin(alice, declared(), Brought(ScriptedBody(b"abc"), offset=0, is_end=False))).upload
        store.is_away = True  # type: ignore[attr-defined]  # the wrapper's own
        with pytest.raises(StoreError):
            await verbs.append(alice, upload.id, Brought(ScriptedBody(b"de"), offset=3, is_end=True))
        standing = await verbs.stand(alice, upload.id)
        assert (State.OPEN, 5, 5) == (standing.state, standing.held_bytes, standing.size)

        store.is_away = False  # type: ignore[attr-defined]  # the wrapper's own
        ends = [Brought(ScriptedBody(), offset=5, is_end=True) for _ in range(2)]
        outcomes = [await verbs.append(alice, upload.id, end) for end in ends]

        assert outcomes[0] == outcomes[1]
        assert [sha256(b"abcde")] == [file.sha256 for file in await house.all_files()]
        await house.is_tidy()


async def test_I_CR7_a_beginning_that_breaks_leaves_nothing(house: House, alice: Principal) -> None:
    """When the first body is cut, neither the upload nor its reservation is left."""
    brought = Brought(ScriptedBody(b"abc", BodyTruncated("gone")), offset=0, is_end=False)
    with pytest.raises(BodyTruncated):
        await by_flag(house).begin(alice, declared(100), brought)

    usage = await house.usage()
    assert (0, 0) == (usage.reserved_bytes, usage.open_uploads)
    await house.is_tidy()


async def test_I_C2_an_expired_upload_is_gone(house: House, alice: Principal) -> None:
    """After its time an upload is neither told of nor continued."""
    verbs = by_flag(house)
    upload = (await verbs.begin(alice, declared(), Brought(ScriptedBody(b"abc"), offset=0, is_end=False))).upload
    house.clock.advance(upload.expires_at - house.clock.now())
    await house.expire.run()

    for use in (verbs.stand(alice, upload.id), verbs.cancel(alice, upload.id)):
        with pytest.raises(Missing) as raised:
            await use
        assert "upload_gone" == raised.value.stable_code
    await house.is_tidy()
