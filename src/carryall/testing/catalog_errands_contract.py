"""What every catalog must remember of requests that may be repeated; part of CatalogContract."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

from carryall.model.errand import Errand
from carryall.ports.catalog import Catalog, Tx
from carryall.testing.fakes import MORNING

_DAY = timedelta(days=1)


def an_errand(errand_id: str = "first", key: str = "key", owner: str = "user:alice") -> Errand:
    """Give an errand that is a day's."""
    return Errand(errand_id, owner, key, "f" * 64, created_at=MORNING, expires_at=MORNING + _DAY)


def _get(tx: Tx) -> Errand | None:
    return tx.errands.get("user:alice", "key")


class ErrandRules:
    """What is remembered of requests that may be repeated."""

    async def test_errands_come_back_as_they_were(self, catalog: Catalog) -> None:
        """By owner and key; with the uploads in their order, and the answer."""
        errand = an_errand()
        assert await catalog.write(lambda tx: tx.errands.add(errand))
        assert errand == await catalog.read(_get)

        for upload_id in ("one", "two"):
            assert await catalog.write(partial(_note, upload_id=upload_id))
        assert await catalog.write(lambda tx: tx.errands.answer("first", '{"ü": 1}'))

        assert replace(errand, uploads=("one", "two"), answer='{"ü": 1}') == await catalog.read(_get)
        assert await catalog.read(lambda tx: tx.errands.get("user:bob", "key")) is None

    async def test_a_key_is_taken_once(self, catalog: Catalog) -> None:
        """Of rivals with one key one is written, and the others hear so; another owner's key is another one."""
        rivals = [an_errand(f"rival {number}") for number in range(20)]

        added = await asyncio.gather(*(catalog.write(partial(_add, errand=one)) for one in rivals))

        assert 1 == sum(added)
        assert rivals[added.index(True)] == await catalog.read(_get)
        assert await catalog.write(lambda tx: tx.errands.add(an_errand("other", owner="user:bob")))
        assert await catalog.write(lambda tx: tx.errands.add(an_errand("more", key="Key")))

    async def test_an_errand_is_taken_over_once(self, catalog: Catalog) -> None:
        """The one before counts for nothing then: it notes no upload and no answer."""
        await catalog.write(lambda tx: tx.errands.add(an_errand()))
        taken = await asyncio.gather(*(catalog.write(partial(_take_over, new_id=f"n{n}")) for n in range(9)))

        assert 1 == sum(taken)
        assert not await catalog.write(partial(_note, upload_id="late"))
        assert not await catalog.write(lambda tx: tx.errands.answer("first", "late"))
        found = await catalog.read(_get)
        assert found is not None
        assert (f"n{taken.index(True)}", (), None) == (found.id, found.uploads, found.answer)

    async def test_an_answered_errand_stays_as_it_is(self, catalog: Catalog) -> None:
        """It isn't taken over, not answered again, and opens no more uploads."""
        await catalog.write(lambda tx: tx.errands.add(an_errand()))
        await catalog.write(lambda tx: tx.errands.answer("first", "answer"))
        before = await catalog.read(_get)

        assert not await catalog.write(partial(_take_over, new_id="second"))
        assert not await catalog.write(lambda tx: tx.errands.answer("first", "another"))
        assert not await catalog.write(partial(_note, upload_id="late"))
        assert before == await catalog.read(_get)

    async def test_errands_are_forgotten(self, catalog: Catalog) -> None:
        """One by its key, or all whose time is up; the key is free then."""
        await catalog.write(lambda tx: tx.errands.add(an_errand()))
        await catalog.write(lambda tx: tx.errands.add(an_errand("other", key="other")))
        await catalog.write(lambda tx: tx.errands.remove("user:alice", "other"))
        await catalog.write(lambda tx: tx.errands.forget(MORNING + _DAY - timedelta(microseconds=1)))
        assert an_errand() == await catalog.read(_get)

        await catalog.write(lambda tx: tx.errands.forget(MORNING + _DAY))

        assert await catalog.read(_get) is None
        assert await catalog.write(lambda tx: tx.errands.add(an_errand("other", key="other")))


def _add(tx: Tx, *, errand: Errand) -> bool:
    return tx.errands.add(errand)


def _note(tx: Tx, *, upload_id: str) -> bool:
    return tx.errands.note_upload("first", upload_id)


def _take_over(tx: Tx, *, new_id: str) -> bool:
    return tx.errands.take_over("first", new_id)
