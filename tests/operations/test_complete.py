"""Uploads become files: whole, once, all or none, and in the place of what had their name."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.operations.conftest import House, declared, house_on, sha256, user

from carryall.model.errors import (
    CarryallError,
    Conflict,
    DigestMismatch,
    Forbidden,
    Incomplete,
    Missing,
    NoRoom,
    OffsetMismatch,
    PreconditionFailed,
    QuotaExceeded,
    TooLarge,
    Unavailable,
    UploadClosed,
)
from carryall.model.principal import Principal, Scope
from carryall.model.upload import Mode, Segment, State
from carryall.testing.fakes import ScriptedBody


async def chunked(house: House, who: Principal, *chunks: bytes | None, size: int | None = None) -> str:
    """Open a session and send its chunks, last one first; None leaves a gap. Give its id."""
    upload_id = (await house.door.open(who, declared(size), is_resumable=True)).id
    for index, chunk in reversed(list(enumerate(chunks))):
        if chunk is not None:
            await send(house, who, upload_id, index, chunk)
    return upload_id


async def send(house: House, who: Principal, upload_id: str, index: int, chunk: bytes) -> None:
    """Send one chunk, new or again."""
    await house.door.receive(who, upload_id, ScriptedBody(chunk), segment=index, mode=Mode.REPLACE)


async def test_chunks_are_joined_in_order(house: House, alice: Principal) -> None:
    """Threat 16: in any order, repeated, the same or other bytes, the last ones count."""
    upload_id = await chunked(house, alice, b"one ", b"two ", b"three")
    await send(house, alice, upload_id, 1, b"two ")
    await send(house, alice, upload_id, 0, b"1 ")

    file = await house.door.complete(alice, upload_id, segment_count=3)

    assert b"1 two three" == await house.content(file)
    assert (sha256(b"1 two three"), 11) == (file.sha256, file.size)
    assert (11, 0) == ((await house.usage()).stored_bytes, (await house.usage()).reserved_bytes)
    await house.is_tidy()


async def test_a_wrong_count_loses_nothing(house: House, alice: Principal) -> None:
    """Threat 16: gaps and extras are told, and the session goes on."""
    upload_id = await chunked(house, alice, b"one ", None, b"three")
    with pytest.raises(Incomplete) as raised:
        await house.door.complete(alice, upload_id, segment_count=4)
    assert [1, 3] == raised.value.facts["missing"]
    await send(house, alice, upload_id, 1, b"two ")
    with pytest.raises(Conflict):
        await house.door.complete(alice, upload_id, segment_count=2)

    file = await house.door.complete(alice, upload_id, segment_count=3)

    assert b"one two three" == await house.content(file)
    with pytest.raises(Conflict):
        await house.door.complete(alice, upload_id, segment_count=2)


async def test_completing_twice_is_once(house: House, alice: Principal) -> None:
    """A client whose answer was lost asks again and gets the same file, until it is deleted."""
    upload_id = await chunked(house, alice, b"one ", b"two")

    first = await house.door.complete(alice, upload_id, segment_count=2)
    second = await house.door.complete(alice, upload_id, segment_count=2)

    assert first == second
    assert 1 == len(await house.all_files())
    assert 1 == (await house.usage()).uploads
    await house.files.delete(alice, first.id)
    with pytest.raises(Missing):
        await house.door.complete(alice, upload_id, segment_count=2)


async def test_six_at_once_give_one_file(house: House, alice: Principal) -> None:
    """Threat 16: a double click, or a retry beside the first try, joins it. Also when some of them give up."""
    for cancelled in ([], [0], [0, 3, 5], list(range(6))):
        upload_id = await chunked(house, alice, b"one ", b"two " * 100_000)
        tasks = [asyncio.ensure_future(house.door.complete(alice, upload_id, segment_count=2)) for _ in range(6)]
        await asyncio.sleep(0)
        for number in cancelled:
            tasks[number].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)

        file = await house.door.complete(alice, upload_id, segment_count=2)
        assert [file] * (6 - len(cancelled)) == [one for one in results if not isinstance(one, BaseException)]
        assert 1 == len(await house.all_files())
        await house.files.delete(alice, file.id)


async def test_a_repeat_after_a_restart(folder: Path, alice: Principal) -> None:
    """The next process gives the same file to who asks again, and completes what the one before didn't."""
    async with house_on(folder) as house:
        done, open_one = await chunked(house, alice, b"a", b"b"), await chunked(house, alice, b"c", b"d")
        file = await house.door.complete(alice, done, segment_count=2)

    async with house_on(folder) as house:
        assert file == await house.door.complete(alice, done, segment_count=2)
        other = await house.door.complete(alice, open_one, segment_count=2)
        assert b"cd" == await house.content(other)
        await house.is_tidy()


async def test_another_question_isnt_joined(house: House, alice: Principal) -> None:
    """A stranger's request beside the owner's gets no file, and neither does one with a wrong count (threat 11)."""
    upload_id = await chunked(house, alice, b"one ", b"two " * 100_000)
    reader = Principal(alice.id, "alice", alice.kind, alice.plan, frozenset({Scope.READ}))

    results = await asyncio.gather(
        house.door.complete(alice, upload_id, segment_count=2),
        house.door.complete(user("bob"), upload_id, segment_count=2),
        house.door.complete(alice, upload_id, segment_count=3),
        house.door.complete(reader, upload_id, segment_count=2),
        return_exceptions=True,
    )

    assert [Missing, Incomplete, Forbidden] == [type(result) for result in results[1:]]
    assert not isinstance(results[0], BaseException)


async def test_a_closed_upload_stays_closed(house: House, alice: Principal) -> None:
    """What was aborted can't be completed; aborting what is complete changes nothing; aborting twice is once."""
    gone, done = await chunked(house, alice, b"x"), await chunked(house, alice, b"y")
    for _ in range(2):
        await house.door.abort(alice, gone)
    file = await house.door.complete(alice, done)
    await house.door.abort(alice, done)

    with pytest.raises(UploadClosed):
        await house.door.complete(alice, gone)
    assert b"y" == await house.content(file)
    assert (State.ABORTED, State.SEALED) == ((await house.upload(gone)).state, (await house.upload(done)).state)
    assert (1, 0, 0) == (
        (await house.usage()).stored_bytes,
        (await house.usage()).reserved_bytes,
        (await house.usage()).open_uploads,
    )
    assert [] == house.staged()


async def test_an_upload_without_bytes_is_an_empty_file(house: House, alice: Principal) -> None:
    """Zero bytes are a file, too."""
    for size in (0, None):
        upload_id = (await house.door.open(alice, declared(size), is_resumable=True)).id
        file = await house.door.complete(alice, upload_id)
        assert (0, sha256(b""), b"") == (file.size, file.sha256, await house.content(file))
    upload_id = (await house.door.open(alice, declared(1), is_resumable=True)).id
    with pytest.raises(Incomplete):
        await house.door.complete(alice, upload_id)


async def test_a_digest_that_disagrees_loses_nothing(house: House, alice: Principal) -> None:
    """The upload stays as it was: the client may send the wrong chunk again, and complete."""
    announced = declared(digests={"sha-256": sha256(b"one two"), "sha": "0" * 40})
    upload_id = (await house.door.open(alice, announced, is_resumable=True)).id
    for index, chunk in enumerate((b"one ", b"owt")):
        await send(house, alice, upload_id, index, chunk)
    with pytest.raises(DigestMismatch):
        await house.door.complete(alice, upload_id, segment_count=2)
    assert {0: Segment(0, 4), 1: Segment(1, 3)} == (await house.upload(upload_id)).segments
    assert [] == house.stored()


@pytest.mark.parametrize("again", [b"2wo", b"three", b"2"])
async def test_bytes_that_were_stored_in_vain_are_never_served(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch, again: bytes
) -> None:
    """A completion whose commit failed leaves its bytes under the upload's key: the next one's take their place."""
    upload_id = await chunked(house, alice, b"one ", b"two")
    with monkeypatch.context() as patched:
        full = NoRoom("The disk is full.")
        patched.setattr(type(house.door._completion), "_seal_one", _raising(full))
        with pytest.raises(NoRoom):
            await house.door.complete(alice, upload_id, segment_count=2)
    await send(house, alice, upload_id, 1, again)

    file = await house.door.complete(alice, upload_id, segment_count=2)

    assert b"one " + again == await house.content(file)
    assert sha256(b"one " + again) == file.sha256


def _raising(error: Exception) -> object:
    def fail(*_: object) -> None:
        raise error

    return fail


async def test_a_batch_is_all_or_nothing(house: House, alice: Principal) -> None:
    """Of several uploads that are completed together every one becomes a file, or none does."""
    ids = [await chunked(house, alice, bytes([65 + number]) * 10, size=10) for number in range(4)]
    bad = await chunked(house, alice, b"x", size=10)
    for batch in ([*ids, bad], [bad, *ids], [*ids, "nothing"]):
        with pytest.raises(CarryallError):
            await house.door.complete_all(alice, batch)
        assert ([], []) == (await house.all_files(), house.stored())

    files = await house.door.complete_all(alice, ids)

    assert [b"A" * 10, b"B" * 10, b"C" * 10, b"D" * 10] == [await house.content(file) for file in files]
    assert files == await house.door.complete_all(alice, ids)
    assert (40, 10) == ((await house.usage()).stored_bytes, (await house.usage()).reserved_bytes)


async def test_a_batch_with_a_complete_one_is_refused(house: House, alice: Principal) -> None:
    """A mixture is a mistake of the client's, not a fault of the disk."""
    ids = [await chunked(house, alice, b"x"), await chunked(house, alice, b"y")]
    await house.door.complete(alice, ids[0])

    with pytest.raises(UploadClosed):
        await house.door.complete_all(alice, ids)

    assert b"y" == await house.content(await house.door.complete(alice, ids[1]))


async def test_a_batch_whose_commit_fails_leaves_no_file(house: House, alice: Principal) -> None:
    """Two that want the same new name can't both have it: neither does."""
    ids = [
        (await house.door.open(alice, declared(0, path="same", must_be_new=True), is_resumable=True)).id
        for _ in range(2)
    ]

    with pytest.raises(PreconditionFailed):
        await house.door.complete_all(alice, ids)

    assert [] == await house.all_files()
    assert 2 == (await house.usage()).open_uploads


async def test_a_name_gets_new_bytes(house: House, alice: Principal) -> None:
    """/v1/by-name: the new file takes the name in one transaction; the old bytes go after it, and its room at once."""
    old = await house.door.accept(alice, declared(path="a/b"), ScriptedBody(b"old bytes"))

    new = await house.door.accept(alice, declared(path="a/b"), ScriptedBody(b"new"))

    assert new == await house.serve.by_path(alice, "a/b")
    with pytest.raises(Missing):
        await house.serve.by_id(alice, old.id)
    assert (3, 1) == ((await house.usage()).stored_bytes, (await house.usage()).files)
    assert b"new" == await house.content(new)
    assert 2 == len(house.stored())
    assert 1 == await house.run_jobs("erase")
    assert [new.copies[0].key] == house.stored()
    await house.is_tidy()


async def test_a_name_keeps_its_file_until_the_new_one_is_whole(house: House, alice: Principal) -> None:
    """A replacement that breaks changes nothing."""
    old = await house.door.accept(alice, declared(path="a"), ScriptedBody(b"old"))
    with pytest.raises(DigestMismatch):
        await house.door.accept(alice, declared(path="a", digests={"sha-256": "0" * 64}), ScriptedBody(b"new"))

    assert old == await house.serve.by_path(alice, "a")
    assert b"old" == await house.content(old)


async def test_rivals_for_a_name(house: House, alice: Principal) -> None:
    """Of ten at once that want a new name one gets it; of ten that replace it one is left, with its own bytes."""
    results = await asyncio.gather(
        *(
            house.door.accept(alice, declared(path="n", must_be_new=True), ScriptedBody(bytes([number])))
            for number in range(10)
        ),
        return_exceptions=True,
    )
    assert 9 == sum(isinstance(result, PreconditionFailed) for result in results)
    files = await asyncio.gather(
        *(house.door.accept(alice, declared(path="n"), ScriptedBody(bytes([number]) * 9)) for number in range(10))
    )
    left = await house.serve.by_path(alice, "n")
    assert bytes([files.index(left)]) * 9 == await house.content(left)
    assert 10 == await house.run_jobs("erase")
    assert (9, 1, 0) == (
        (await house.usage()).stored_bytes,
        (await house.usage()).files,
        (await house.usage()).reserved_bytes,
    )
    await house.is_tidy()


async def test_another_services_id_is_one_file(house: House, alice: Principal) -> None:
    """A second file for the same `main_service_file_id` takes the first one's place; other owners' stay."""
    other = await house.door.accept(user("bob"), declared(external_id="17"), ScriptedBody(b"bob's"))
    await house.door.accept(alice, declared(external_id="17"), ScriptedBody(b"old"))

    new = await house.door.accept(alice, declared(external_id="17"), ScriptedBody(b"new"))

    assert new == await house.serve.by_external_id(alice, "17")
    assert {new.id, other.id} == {file.id for file in await house.all_files()}


async def test_events_are_told_after_the_commit(house: House, alice: Principal) -> None:
    """A file that is stored is announced once, by a job that its own transaction wrote; one that broke isn't."""
    with pytest.raises(Incomplete):
        await house.door.accept(alice, declared(2), ScriptedBody(b"x"))
    file = await house.door.accept(alice, declared(external_id="17"), ScriptedBody(b"x"))

    assert 1 == await house.run_jobs("announce")

    (event,) = house.told
    expected = {
        "file_id": file.id,
        "sha256": sha256(b"x"),
        "size": 1,
        "main_service_file_id": 17,
        "url": "https://here",
    }
    assert expected.items() <= event.data.items()


async def test_a_chunk_that_came_before_its_id(house: House, alice: Principal) -> None:
    """A scratch upload's bytes become a segment, its room goes along, and what was there before goes."""
    upload_id = await chunked(house, alice, b"one ", b"was here", b"three")
    scratch = (await house.door.open(alice, declared(at_most=5_000_000))).id
    await house.door.receive(alice, scratch, ScriptedBody(b"two "), mode=Mode.REPLACE)

    upload = await house.door.adopt(alice, scratch, upload_id, segment=1)

    assert Segment(1, 4, 1) == upload.segments[1]
    assert (13, 1) == ((await house.usage()).reserved_bytes, (await house.usage()).open_uploads)
    assert [f"{upload_id}.0.0", f"{upload_id}.1.1", f"{upload_id}.2.0"] == house.staged()
    assert State.ABORTED is (await house.upload(scratch)).state
    await house.is_sound()
    assert b"one two three" == await house.content(await house.door.complete(alice, upload_id, segment_count=3))
    await house.is_tidy()


async def test_adopting_into_an_upload_of_known_size(house: House) -> None:
    """Its room was reserved when it was opened: the scratch upload's comes back."""
    who = user(total_bytes=20)
    upload_id = (await house.door.open(who, declared(8), is_resumable=True)).id
    scratch = (await house.door.open(who, declared())).id
    await house.door.receive(who, scratch, ScriptedBody(b"12345678"), mode=Mode.REPLACE)

    await house.door.adopt(who, scratch, upload_id, segment=0)

    assert 8 == (await house.usage()).reserved_bytes
    await house.door.complete(who, upload_id)
    assert (8, 0) == ((await house.usage()).stored_bytes, (await house.usage()).reserved_bytes)


async def test_what_cant_be_adopted_is_the_callers_to_abort(house: House) -> None:
    """Too large, closed, or a stranger's: the target is as it was, and aborting the scratch leaves nothing."""
    who = user(max_file_bytes=10)
    target, closed, sized = (
        await chunked(house, who, b"12345678"),
        await chunked(house, who, b"1"),
        await chunked(house, who, b"1", size=2),
    )
    bobs = await chunked(house, user("bob"), b"1")
    await house.door.abort(who, closed)
    for upload_id, error in ((target, TooLarge), (sized, TooLarge), (closed, UploadClosed), (bobs, Missing)):
        scratch = (await house.door.open(who, declared())).id
        await house.door.receive(who, scratch, ScriptedBody(b"123"), mode=Mode.REPLACE)
        with pytest.raises(error):
            await house.door.adopt(who, scratch, upload_id, segment=1)
        await house.door.abort(who, scratch)
    assert [f"{name}.0.0" for name in sorted([target, sized, bobs])] == house.staged()
    assert 10 == (await house.usage()).reserved_bytes


async def test_adopting_beside_other_chunks_keeps_the_limit(house: House) -> None:
    """Chunks that come with and without their id, at once, don't add up to more than is allowed."""
    who = user(max_file_bytes=10)
    upload_id = (await house.door.open(who, declared(), is_resumable=True)).id
    scratches = []
    for _ in range(4):
        scratches.append((await house.door.open(who, declared())).id)
        await house.door.receive(who, scratches[-1], ScriptedBody(b"1234"), mode=Mode.REPLACE)

    results = await asyncio.gather(
        *(house.door.adopt(who, scratch, upload_id, segment=index) for index, scratch in enumerate(scratches)),
        return_exceptions=True,
    )

    assert 2 == sum(isinstance(result, TooLarge) for result in results)
    assert 8 == (await house.upload(upload_id)).held_bytes
    for scratch in scratches:
        await house.door.abort(who, scratch)
    assert 8 == (await house.usage()).reserved_bytes


def fails(number: int) -> Callable[..., int]:
    """Give a function of `os` that fails so."""

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


async def test_a_full_disk_is_told_and_heals(house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while bytes come: NoRoom, nothing kept of the request, all room back; the offset holds (fault 5)."""
    upload_id = (await house.door.open(alice, declared(), is_resumable=True)).id
    await house.door.receive(alice, upload_id, ScriptedBody(b"one "))

    with monkeypatch.context() as patched:
        patched.setattr("os.pwrite", fails(errno.ENOSPC))
        for announced in (declared(), declared(5_000_000)):
            with pytest.raises(NoRoom):
                await house.door.accept(alice, announced, ScriptedBody(*[b"x" * 1_000_000] * 5))
        with pytest.raises(NoRoom):
            await house.door.receive(alice, upload_id, ScriptedBody(b"x" * 3000), offset=4)

    assert (4, 1) == ((await house.usage()).reserved_bytes, (await house.usage()).open_uploads)
    with pytest.raises(OffsetMismatch):
        await house.door.receive(alice, upload_id, ScriptedBody(b"x"), offset=5)
    await house.door.receive(alice, upload_id, ScriptedBody(b"two"), offset=4)
    assert b"one two" == await house.content(await house.door.complete(alice, upload_id))


@pytest.mark.parametrize("house", [True], indirect=True, ids=["durable"])
async def test_a_failed_sync_is_never_acknowledged(
    house: House, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 6: bytes whose fsync failed don't count; those of the checkpoint before do, and their room."""
    upload_id = (await house.door.open(alice, declared(), is_resumable=True)).id
    gate = asyncio.Event()
    body = ScriptedBody(b"x" * 4096, gate, b"y" * 100)
    receiving = asyncio.ensure_future(house.door.receive(alice, upload_id, body))
    await body.waits.wait()

    with monkeypatch.context() as patched:
        patched.setattr("os.fdatasync", fails(errno.EIO))
        gate.set()
        with pytest.raises(Unavailable):
            await receiving
        with pytest.raises(Unavailable):
            await house.door.accept(alice, declared(), ScriptedBody(b"x"))

    assert 4096 == (await house.upload(upload_id)).held_bytes == (await house.usage()).reserved_bytes
    assert b"x" * 4096 == await house.content(await house.door.complete(alice, upload_id))


async def test_a_quota_that_shrank_meanwhile_takes_no_more(house: House) -> None:
    """What was reserved is kept; nothing new is taken."""
    upload_id = await chunked(house, user(total_bytes=100), b"x" * 50)

    with pytest.raises(QuotaExceeded):
        await send(house, user(total_bytes=40), upload_id, 1, b"y")
    await house.door.complete(user(total_bytes=40), upload_id)

    assert (50, 0) == ((await house.usage()).stored_bytes, (await house.usage()).reserved_bytes)
