"""Whatever MEGA does between the first byte and the last answer: the file is there once and whole, or not at all."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.servers.mega.launch import FakeMega

from carryall.model.errors import StoreError
from carryall.stores.mega import folder, upload, wire
from carryall.stores.mega.store import MegaStore
from carryall.testing.fakes import pattern
from carryall.testing.store_contract import source, stored_bytes

SIZE = 1_000_000
EMAIL = "new@example.com"

NewStore = Callable[..., MegaStore]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send each canonical chunk by itself, so that a small file has four pieces."""
    monkeypatch.setattr(upload, "_PIECE_BYTES", 1)


async def refused(store: MegaStore, place: Path, content: bytes = b"never") -> StoreError:
    """Put what can't be put; give the error. Nothing of it may be left."""
    with pytest.raises(StoreError) as caught:
        await store.put("key", source(place, content))
    assert [] == [found async for found in store.list()]
    return caught.value


async def put(store: MegaStore, place: Path) -> list[int]:
    """Put a file, check that it is there once and whole; give the progress that was told."""
    told: list[int] = []
    stored = await store.put("key", source(place, pattern(SIZE)), sent=told.append)
    assert pattern(SIZE) == await stored_bytes(store, stored.location, 0, SIZE)
    assert [stored.location] == [found.location async for found in store.list()]
    assert SIZE == told[-1]
    return told


PASSING: list[tuple[str, dict[str, Any]]] = [
    ("u", {"answer": -3, "times": 6}),
    ("u", {"answer": -3, "times": 3, "is_bare": True}),
    ("u", {"answer": -4, "times": 2}),
    ("u", {"answer": -18, "times": 2}),
    ("f", {"status": 503, "times": 2}),
    ("g", {"cut": True, "times": 2}),
    ("p", {"drop": True, "times": 2, "skip": 1}),  # the first one makes the folder
]


@pytest.mark.parametrize(("command", "fault"), PASSING, ids=str)
async def test_a_command_is_repeated(
    mega: FakeMega, store: MegaStore, tmp_path: Path, command: str, fault: dict[str, Any]
) -> None:
    """What was asked is asked again with the same number, so that it is done once although an answer was lost."""
    mega.fault("cs", command=command, **fault)

    await put(store, tmp_path)

    numbers = [request["id"] for request in mega.state["requests"] if request["commands"] == [command]]
    assert 1 == len(set(numbers[fault.get("skip", 0) :][: fault["times"] + 1]))
    assert 1 == mega.count("u") - (fault["times"] if command == "u" else 0)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503},
        {"status": 429},
        {"answer": "-3"},
        {"answer": "-14"},
        {"answer": "what"},
        {"cut": True},
        {"drop": True, "offset": 131072},
    ],
    ids=str,
)
async def test_a_piece_is_sent_again(mega: FakeMega, store: MegaStore, tmp_path: Path, fault: dict[str, Any]) -> None:
    """A passing trouble costs this piece alone."""
    mega.fault("chunk", skip=0 if "offset" in fault else 2, **fault)

    await put(store, tmp_path)

    assert (5, 1) == (mega.count("chunk"), mega.count("u"))


@pytest.mark.parametrize(
    "fault",
    [
        {"answer": "-4"},
        {"answer": "-5"},
        {"answer": "-8"},
        {"status": 403},
        {"status": 404},
        {"mute": True, "offset": 786432, "delay_s": 0.3},
    ],
    ids=str,
)
async def test_an_address_that_is_over_is_exchanged(
    mega: FakeMega, store: MegaStore, tmp_path: Path, fault: dict[str, Any]
) -> None:
    """The file is sent anew to another address, and so is the progress; an end that MEGA doesn't confirm is none."""
    mega.fault("chunk", skip=0 if "offset" in fault else 3, **fault)

    told = await put(store, tmp_path)

    assert 2 == mega.count("u")
    assert 0 in told


async def test_all_addresses_may_expire_midway(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """What MEGA itself lets expire is begun anew, too."""
    mega.fault("chunk", offset=393216, delay_s=0.3)
    putting = asyncio.ensure_future(put(store, tmp_path))
    async with asyncio.timeout(10):
        while not mega.count("chunk"):  # noqa: ASYNC110  # the server sets no event
            await asyncio.sleep(0.01)
    mega.expire("uploads")

    await putting

    assert 2 == mega.count("u")


async def test_it_is_given_up_visibly(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """After some addresses the error is told; trying again later can help."""
    mega.fault("chunk", answer="-8", times=100)

    assert (await refused(store, tmp_path)).retryable
    assert upload.RESTARTS + 1 == mega.count("u")


async def test_the_last_piece_needn_t_be_the_last(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """Whichever piece completes the file brings its token."""
    mega.fault("chunk", offset=0, delay_s=0.4)

    await put(store, tmp_path)

    assert 1 == mega.count("u")


async def test_pieces_go_in_parallel(mega: FakeMega, new_store: NewStore, tmp_path: Path) -> None:
    """As many as the options say."""
    mega.fault("chunk", delay_s=0.1, times=4)

    await put(new_store(parallel_chunks=3), tmp_path)

    assert 3 == mega.count("chunks at once")


async def test_files_go_side_by_side(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """Several files are put at once, into one folder."""
    given = source(tmp_path, pattern(SIZE))

    stored = await asyncio.gather(*[store.put(f"key-{number}", given) for number in range(4)])

    assert 4 == len({each.location for each in stored})
    assert (4, 5) == (mega.count("u"), mega.count("p"))


@pytest.mark.parametrize("number", [-17, -24, -29])
async def test_a_full_account(mega: FakeMega, store: MegaStore, tmp_path: Path, number: int) -> None:
    """It is told before a byte is sent, and trying again doesn't help."""
    mega.fault("cs", command="u", answer=number)

    error = await refused(store, tmp_path)

    assert ("store_full", False, 0) == (error.stable_code, error.retryable, mega.count("chunk"))


async def test_an_account_that_becomes_full(mega: FakeMega, new_store: NewStore, tmp_path: Path) -> None:
    """What doesn't fit is refused; what is there stays, and the room is told."""
    mega.account("small@example.com", quota_bytes=1000)
    store = new_store(email="small@example.com")
    stored = await store.put("first", source(tmp_path, bytes(600)))

    with pytest.raises(StoreError, match="full"):
        await store.put("second", source(tmp_path, bytes(600), "second"))

    assert bytes(600) == await stored_bytes(store, stored.location, 0, 600)
    room = await store.about()
    assert (1000, 600, 400) == (room.total, room.used, room.free)


async def test_an_answer_that_nobody_heard(mega: FakeMega, new_store: NewStore, tmp_path: Path) -> None:
    """A node whose making was never confirmed is found after a restart: nothing is sent twice, there is one file."""
    store = new_store()
    mega.fault("cs", command="p", drop=True, times=100, skip=1)  # the first one makes the folder
    with pytest.raises(StoreError) as caught:
        await store.put("key", source(tmp_path, pattern(SIZE)))
    assert caught.value.retryable
    mega.clear()

    await put(new_store(), tmp_path)
    await put(store, tmp_path)  # nor does the process that failed

    assert (0, 0) == (mega.count("u"), mega.count("p"))


async def test_an_answer_that_another_process_would_have_heard(
    mega: FakeMega, new_store: NewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has known the account for a while looks again, and finds what the one that was killed made."""
    monkeypatch.setattr(folder, "FRESH_S", 0)
    monkeypatch.setattr(folder, "_COSTS", 0)
    killed, other = new_store(), new_store()
    await other.put("another", source(tmp_path, b"x"))
    mega.fault("cs", command="p", drop=True, times=100)
    with pytest.raises(StoreError):
        await killed.put("key", source(tmp_path, b"once"))
    mega.clear()

    await other.put("key", source(tmp_path, b"once"))

    assert 0 == mega.count("u")
    assert 2 == len([found async for found in other.list()])


async def test_killed_before_the_node_was_made(mega: FakeMega, new_store: NewStore, tmp_path: Path) -> None:
    """Bytes without a node are nothing; the next process sends them again, and there is one file."""
    mega.fault("cs", command="p", cut=True, times=100, skip=1)
    with pytest.raises(StoreError):
        await new_store().put("key", source(tmp_path, pattern(SIZE)))
    mega.clear()

    await put(new_store(), tmp_path)

    assert 1 == mega.count("u")


async def test_what_nobody_heard_of_is_erased_by_its_key(new_store: NewStore, tmp_path: Path) -> None:
    """A process that knows only the key finds what another one put."""
    other, store = new_store(), new_store()
    stored = await other.put("another", source(tmp_path, b"x"))
    await store.put("key", source(tmp_path, b"x"))

    for _ in range(2):
        await other.erase("key")

    assert [stored.location] == [found.location async for found in store.list()]


async def test_what_arrived_damaged_doesn_t_count(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """A chunk is fetched and compared; a file that differs is removed, and sending it again helps."""
    mega.fault("dl", flip=1)

    error = await refused(store, tmp_path)

    assert ("store_damaged", True) == (error.stable_code, error.retryable)
    await put(store, tmp_path)


async def test_a_silent_server_is_left(
    mega: FakeMega, store: MegaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who doesn't answer for too long is told to be too slow."""
    monkeypatch.setattr(wire, "IDLE_S", 0.1)
    mega.fault("cs", delay_s=0.5, times=8)

    assert "store_timeout" == (await refused_put(store, tmp_path)).stable_code


async def test_a_server_that_is_away(mega: FakeMega, store: MegaStore, tmp_path: Path) -> None:
    """It is told that MEGA can't be reached; when it is there again, all goes on."""
    mega.leave(0.5)

    error = await refused_put(store, tmp_path)

    assert ("store_unreachable", True) == (error.stable_code, error.retryable)
    async with asyncio.timeout(10):
        while True:
            try:
                await put(store, tmp_path)
                break
            except StoreError:
                await asyncio.sleep(0.05)


async def refused_put(store: MegaStore, place: Path) -> StoreError:
    """Put what can't be put; give the error."""
    with pytest.raises(StoreError) as caught:
        await store.put("key", source(place, b"never"))
    return caught.value
