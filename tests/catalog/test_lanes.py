"""How many transactions run beside each other."""

import asyncio

from carryall.catalog.lanes import Lanes


async def most_at_once(lanes: Lanes, orders: int = 40) -> tuple[int, list[int]]:
    """Run orders; give how many were busy at once at the most, and the order in which they were let in."""
    busy = most = 0
    let_in: list[int] = []

    async def order(number: int) -> None:
        nonlocal busy, most
        async with lanes.one():
            busy += 1
            most = max(most, busy)
            let_in.append(number)
            await asyncio.sleep(0)
            busy -= 1

    await asyncio.gather(*(order(number) for number in range(orders)))
    return most, let_in


async def test_so_many_and_no_more_are_let_in() -> None:
    """In the order in which they came."""
    assert (6, list(range(40))) == await most_at_once(Lanes(6))


async def test_who_meets_gets_out_of_the_way() -> None:
    """Half as many after each meeting, one at the least; one more after ten that went well, up to the most."""
    lanes = Lanes(6)
    found = []
    for _ in range(4):
        lanes.met()
        found.append((await most_at_once(lanes))[0])
    assert [3, 1, 1, 1] == found

    for _ in range(11):
        lanes.went_well()
    assert 2 == (await most_at_once(lanes))[0]
    for _ in range(100):
        lanes.went_well()
    assert 6 == (await most_at_once(lanes))[0]


async def test_who_fails_or_leaves_gives_the_lane_back() -> None:
    """An error frees the lane; one who gave up while waiting blocks nobody."""
    lanes, entered = Lanes(1), asyncio.Event()

    async def fail() -> None:
        async with lanes.one():
            entered.set()
            await asyncio.sleep(0)
            raise ZeroDivisionError

    failing = asyncio.ensure_future(fail())
    await entered.wait()
    leaving = asyncio.ensure_future(most_at_once(lanes, 1))
    await asyncio.sleep(0)
    leaving.cancel()
    results = await asyncio.gather(failing, leaving, return_exceptions=True)

    assert [ZeroDivisionError, asyncio.CancelledError] == [type(result) for result in results]
    assert (1, [0, 1, 2]) == await most_at_once(lanes, 3)
