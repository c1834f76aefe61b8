"""Following events: in order, each once, from wherever one is, and one look for all who follow."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.operations.conftest import ADMIN, House, house_on, user

from carryall.model.errors import RateLimited, Unavailable
from carryall.model.work import Event
from carryall.operations.events import Feed, Following, Interest
from carryall.operations.jobs import Bell
from carryall.testing.fakes import MORNING

ALICE = user("alice")
HERS = Interest(ALICE, ALICE.id)


class Counting:
    """A plug that counts what it is asked, and fails when it is told to."""

    def __init__(self, plug: Any, asked: Counter[str]) -> None:
        self._plug = plug
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        self._asked[name] += 1
        if self._asked["failures to come"] and name == "read":
            self._asked["failures to come"] -= 1
            raise Unavailable("The catalog is away.", code="catalog_failed")
        return getattr(self._plug, name)


@pytest.fixture
def asked() -> Counter[str]:
    return Counter()


@pytest.fixture
async def watched(folder: Path, asked: Counter[str]) -> AsyncIterator[House]:
    """A house whose catalog counts what it is asked."""
    async with house_on(folder, wrap=lambda plug: Counting(plug, asked)) as opened:
        yield opened


async def publish(house: House, number: int, owner: str = "jwt:alice", subject: str = "x") -> None:
    """Write events in one transaction."""
    event = Event(type="file.stored", subject=subject, owner=owner, created_at=MORNING)
    await house.world.catalog.write(lambda tx: [tx.events.add(event) for _ in range(number)])


async def taken(following: Following, number: int) -> list[int]:
    """Take so many events; give their ids."""
    ids: list[int] = []
    while len(ids) < number:
        events = await following.next(seconds=10)
        assert events, f"only {len(ids)} came"
        assert len(events) <= 100
        ids += [event.id for event in events]
    return ids


@pytest.mark.parametrize("behind", [0, 99, 100, 101, 250, 2600])
async def test_everything_comes_once_and_in_order(house: House, behind: int) -> None:
    """However far behind one begins, and whatever comes meanwhile, no event is missing and none comes twice."""
    await publish(house, behind)
    bell = Bell()
    feed = Feed(house.world, bell)
    async with feed.following(HERS, after=0) as slow, feed.following(HERS, after=None) as quick:
        await publish(house, 1200)  # more than are remembered
        await publish(house, 30, owner="jwt:bob")
        await publish(house, 3)
        bell.ring()
        fresh = await taken(quick, 1203)
        old = await taken(slow, behind + 1203)

    expected = [n for n in range(1, behind + 1234) if not behind + 1200 < n <= behind + 1230]
    assert expected == old
    assert expected[behind:] == fresh


async def test_news_come_at_once(house: House) -> None:
    """What this process commits is told as soon as it rings, without the second that others' take."""
    bell = Bell()
    async with Feed(house.world, bell).following(HERS, after=None) as following:
        await asyncio.sleep(0.05)
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(following.next(seconds=10))
        await publish(house, 1)
        began = loop.time()
        bell.ring()
        assert 1 == len(await waiting)
        assert loop.time() - began < 0.5


async def test_many_followers_cost_one_look(watched: House, asked: Counter[str]) -> None:
    """Fifty who follow and hear nothing cost the catalog one question a second, and not fifty."""
    principals = [user(f"u{number}") for number in range(50)]
    feed = Feed(watched.world, Bell())
    entered = [feed.following(Interest(one, one.id), after=None) for one in principals]
    followers = [await one.__aenter__() for one in entered]
    asked.clear()
    heard = await asyncio.gather(*(one.next(seconds=2.5) for one in followers))
    looks = asked["read"]
    for one in entered:
        await one.__aexit__(None, None, None)
    asked.clear()
    await asyncio.sleep(1.2)

    assert [[]] * 50 == heard
    assert 1 <= looks <= 5
    assert 0 == asked["read"]


async def test_a_catalog_that_is_away_for_a_moment(watched: House, asked: Counter[str]) -> None:
    """A look that fails is repeated a second later; nobody who follows hears of it."""
    async with Feed(watched.world, Bell()).following(HERS, after=None) as following:
        asked["failures to come"] = 1
        await publish(watched, 2)

        assert [1, 2] == await taken(following, 2)
        assert 0 == asked["failures to come"]


async def test_followers_are_bounded(house: House) -> None:
    """Twenty at once for each owner; who leaves makes room, and others aren't touched."""
    feed = Feed(house.world, Bell())
    entered = [feed.following(HERS, after=None) for _ in range(20)]
    for one in entered:
        await one.__aenter__()
    with pytest.raises(RateLimited) as caught:
        await feed.following(HERS, after=None).__aenter__()
    async with feed.following(Interest(ADMIN, None), after=None):
        await entered.pop().__aexit__(None, None, None)
        async with feed.following(HERS, after=None):
            pass
    for one in entered:
        await one.__aexit__(None, None, None)

    assert ("too_many_streams", 20) == (caught.value.stable_code, caught.value.facts["limit"])
