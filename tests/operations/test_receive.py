"""Bytes come into an upload: appended, replaced, broken off, asked to leave, made durable on the way."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.operations.conftest import ADMIN, EXPIRY, House, declared, sha256, user

from carryall.model.errors import (
    BodyStalled,
    BodyTruncated,
    CarryallError,
    DigestMismatch,
    Forbidden,
    Interrupted,
    Malformed,
    Missing,
    OffsetMismatch,
    QuotaExceeded,
    TooLarge,
    UploadClosed,
)
from carryall.model.principal import Principal, Scope
from carryall.model.upload import Mode, Segment
from carryall.testing.fakes import ScriptedBody, pattern

BROKEN = [BodyTruncated("cut"), BodyStalled("slow"), Interrupted("asked")]


async def opened(house: House, who: Principal, size: int | None = None, *, is_resumable: bool = True) -> str:
    """Open an upload; give its id."""
    return (await house.door.open(who, declared(size), is_resumable=is_resumable)).id


async def completed(house: House, who: Principal, upload_id: str) -> bytes:
    """Complete an upload; give the file's bytes, after comparing them with the file's digest."""
    file = await house.door.complete(who, upload_id)
    content = await house.content(file)
    assert (len(content), sha256(content)) == (file.size, file.sha256)
    return content


async def test_bytes_are_kept_in_order(house: House, alice: Principal) -> None:
    """What was appended piece by piece is one file."""
    upload_id = await opened(house, alice, 11)
    for offset, chunk in ((0, b"one "), (4, b"two "), (8, b"end")):
        upload = await house.door.receive(alice, upload_id, ScriptedBody(chunk), offset=offset)
        assert offset + len(chunk) == upload.held_bytes

    assert b"one two end" == await completed(house, alice, upload_id)


async def test_an_offset_that_isnt_held_is_refused(house: House, alice: Principal) -> None:
    """Before the body is touched, and with the right offset in the answer."""
    upload_id = await opened(house, alice, 11)
    await house.door.receive(alice, upload_id, ScriptedBody(b"one"))
    for offset in (0, 2, 4):
        body = ScriptedBody(b"two")
        with pytest.raises(OffsetMismatch) as raised:
            await house.door.receive(alice, upload_id, body, offset=offset)
        assert (3, False) == (raised.value.facts["offset"], body.is_started)


async def test_a_stranger_finds_nothing(house: House, alice: Principal) -> None:
    """Another's upload is missing, as one that never was; a credential that may not write is told so (threat 11)."""
    upload_id = await opened(house, alice, 3)
    body = ScriptedBody(b"abc")
    for who, wanted in ((user("bob"), upload_id), (alice, "nothing")):
        with pytest.raises(Missing, match="No such upload"):
            await house.door.receive(who, wanted, body)
        for use in (house.door.look, house.door.complete, house.door.abort):
            with pytest.raises(Missing, match="No such upload"):
                await use(who, wanted)
    reader = Principal(alice.id, "alice", alice.kind, alice.plan, frozenset({Scope.READ}))
    with pytest.raises(Forbidden):
        await house.door.receive(reader, upload_id, body)
    assert not body.is_started


@pytest.mark.parametrize("failure", BROKEN, ids=lambda failure: failure.code)
@pytest.mark.parametrize("size", [20_000, None])
async def test_a_broken_append_keeps_what_arrived(
    house: House, alice: Principal, failure: CarryallError, size: int | None
) -> None:
    """The row says exactly the durable bytes, the answer and the row agree, and the rest can follow."""
    content = pattern(20_000)
    upload_id = await opened(house, alice, size)
    with pytest.raises(type(failure)):
        await house.door.receive(alice, upload_id, ScriptedBody(content[:5000], content[5000:9999], failure))

    upload = await house.door.look(alice, upload_id)
    assert {0: Segment(0, 9999)} == upload.segments
    assert (20_000 if size else 9999) == (await house.usage()).reserved_bytes
    await house.door.receive(alice, upload_id, ScriptedBody(content[9999:]), offset=9999)
    assert content == await completed(house, alice, upload_id)


@pytest.mark.parametrize("failure", BROKEN, ids=lambda failure: failure.code)
@pytest.mark.parametrize("size", [3, None])
async def test_an_upload_whose_end_was_lost_can_be_completed(
    house: House, alice: Principal, failure: CarryallError, size: int | None
) -> None:
    """All bytes came, then the connection broke: what is held is the file, with its right digest."""
    upload_id = await opened(house, alice, size)
    with pytest.raises(type(failure)):
        await house.door.receive(alice, upload_id, ScriptedBody(b"abc", failure))

    assert b"abc" == await completed(house, alice, upload_id)


async def test_a_cancelled_append_keeps_what_arrived(house: House, alice: Principal) -> None:
    """A request that is cancelled leaves as after a broken body, once its bytes are durable."""
    upload_id = await opened(house, alice, 10)
    body = ScriptedBody(b"abc", asyncio.Event())
    receiving = asyncio.ensure_future(house.door.receive(alice, upload_id, body))
    await body.waits.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving

    assert {0: Segment(0, 3)} == (await house.door.look(alice, upload_id)).segments
    assert not await house.world.leases.is_held(upload_id)


@pytest.mark.parametrize("size", [200_000, None])
async def test_cancelled_anywhere_the_row_tells_the_truth(house: House, alice: Principal, size: int | None) -> None:
    """At whichever step a request is cancelled, the row's length is on the disk, and the upload goes on from there."""
    content = pattern(102_400)
    for steps in range(0, 60, 2):
        upload_id = await opened(house, alice, size)
        chunks = [content[at : at + 10_000] for at in range(0, len(content), 10_000)]
        receiving = asyncio.ensure_future(house.door.receive(alice, upload_id, ScriptedBody(*chunks)))
        for _ in range(steps):
            await asyncio.sleep(0.0005 if steps % 4 else 0)
        receiving.cancel()
        await asyncio.wait([receiving])

        held = (await house.door.look(alice, upload_id)).held_bytes
        await house.door.receive(alice, upload_id, ScriptedBody(content[held:] + b"!"), offset=held)
        reserved = (await house.upload(upload_id)).reserved_bytes
        assert reserved == (size or len(content) + 1)
        if size is None:
            assert content + b"!" == await completed(house, alice, upload_id)
        await house.door.abort(alice, upload_id)
    assert 0 == (await house.usage()).reserved_bytes


@pytest.mark.parametrize("failure", [Malformed("bad form"), TooLarge("form"), ValueError("bug")], ids=repr)
async def test_a_refused_body_keeps_what_the_row_says(house: House, alice: Principal, failure: Exception) -> None:
    """Whatever ends the body, bytes and row agree, and the upload can be completed."""
    upload_id = await opened(house, alice)
    with pytest.raises(type(failure)):
        await house.door.receive(alice, upload_id, ScriptedBody(b"a" * 5000, b"b", failure))

    upload = await house.upload(upload_id)
    assert upload.held_bytes == upload.reserved_bytes == (await house.usage()).reserved_bytes
    assert (b"a" * 5000 + b"b")[: upload.held_bytes] == await completed(house, alice, upload_id)


async def test_a_wrong_digest_keeps_the_offset(house: House, alice: Principal) -> None:
    """Exactly the bytes of that request are discarded (tus 1.0 Checksum), also where the upload is completed next."""
    upload_id = await opened(house, alice)
    await house.door.receive(alice, upload_id, ScriptedBody(b"good"))
    with pytest.raises(DigestMismatch) as raised:
        await house.door.receive(
            alice, upload_id, ScriptedBody(b"x" * 9000), offset=4, expect={"sha-256": sha256(b"other").upper()}
        )

    assert sha256(b"other") == raised.value.facts["expected"]
    assert (4, 4) == ((await house.upload(upload_id)).held_bytes, (await house.usage()).reserved_bytes)
    assert b"good" == await completed(house, alice, upload_id)


async def test_a_right_digest_is_taken(house: House, alice: Principal) -> None:
    """By several algorithms at once; ones that we don't know are the face's affair."""
    upload_id = await opened(house, alice, 7)
    await house.door.receive(alice, upload_id, ScriptedBody(b"one"), expect={"sha-256": sha256(b"one"), "foo": "1"})
    await house.door.receive(alice, upload_id, ScriptedBody(b" two"), offset=3, expect={"sha-256": sha256(b" two")})

    assert b"one two" == await completed(house, alice, upload_id)


async def test_a_verified_write_is_all_or_nothing(house: House, alice: Principal) -> None:
    """Bytes that a digest should have verified are never acknowledged when the body breaks off."""
    upload_id = await opened(house, alice)
    body = ScriptedBody(b"x" * 9000, BodyTruncated("cut"))
    with pytest.raises(BodyTruncated):
        await house.door.receive(alice, upload_id, body, expect={"sha-256": sha256(b"x" * 10_000)})

    assert 0 == (await house.door.look(alice, upload_id)).held_bytes
    assert 0 == (await house.usage()).reserved_bytes


@pytest.mark.parametrize("failure", [*BROKEN, asyncio.CancelledError(), DigestMismatch("x")], ids=repr)
async def test_a_broken_replacement_changes_nothing(house: House, alice: Principal, failure: BaseException) -> None:
    """All or nothing: the segment is as it was, and what came is gone from the disk."""
    upload_id = await opened(house, alice)
    await house.door.receive(alice, upload_id, ScriptedBody(b"first"), segment=3, mode=Mode.REPLACE)
    with pytest.raises(type(failure)):
        await house.door.receive(alice, upload_id, ScriptedBody(b"x" * 9000, failure), segment=3, mode=Mode.REPLACE)

    assert {3: Segment(3, 5)} == (await house.door.look(alice, upload_id)).segments
    assert [f"{upload_id}.3.0"] == house.staged()
    assert 5 == (await house.usage()).reserved_bytes
    assert b"first" == await completed(house, alice, upload_id)


@pytest.mark.parametrize("content", [b"second", b"x", b"", b"a longer second one"])
async def test_a_replacement_takes_the_place(house: House, alice: Principal, content: bytes) -> None:
    """It goes to a new extent, the old one is discarded, and the room is what is held now."""
    upload_id = await opened(house, alice)
    await house.door.receive(alice, upload_id, ScriptedBody(b"first"), mode=Mode.REPLACE)

    upload = await house.door.receive(
        alice, upload_id, ScriptedBody(*([content] if content else [])), mode=Mode.REPLACE
    )

    assert {0: Segment(0, len(content), 1)} == upload.segments
    assert [f"{upload_id}.0.1"] == house.staged()
    assert len(content) == (await house.usage()).reserved_bytes
    assert content == await completed(house, alice, upload_id)


async def test_progress_is_made_durable_on_the_way(house: House, alice: Principal) -> None:
    """Checkpoints: while the body still runs, the row counts what came, in steps, and moves the expiry."""
    upload_id = await opened(house, alice, 100_000)
    pause, house_says = [asyncio.Event() for _ in range(3)], []
    body = ScriptedBody(b"a" * 4095, pause[0], b"b", pause[1], b"c" * 5000, pause[2], BodyTruncated("cut"))
    receiving = asyncio.ensure_future(house.door.receive(alice, upload_id, body))
    for event in pause:
        await body.waits.wait()
        body.waits.clear()
        house_says.append((await house.door.look(alice, upload_id)).held_bytes)
        house.clock.advance(timedelta(hours=1))
        event.set()
    with pytest.raises(BodyTruncated):
        await receiving

    assert [0, 4096, 9096] == house_says
    upload = await house.door.look(alice, upload_id)
    assert (9096, house.clock.now() + EXPIRY) == (upload.held_bytes, upload.expires_at)


@pytest.mark.parametrize("kind", ["one-shot", "replace", "verified"])
async def test_what_may_break_is_not_acknowledged(house: House, alice: Principal, kind: str) -> None:
    """No checkpoints for what is all or nothing."""
    upload_id = await opened(house, alice, 100_000, is_resumable=kind != "one-shot")
    body = ScriptedBody(b"a" * 50_000, asyncio.Event())
    receiving = asyncio.ensure_future(
        house.door.receive(
            alice,
            upload_id,
            body,
            mode=Mode.REPLACE if kind == "replace" else Mode.APPEND,
            expect={"sha-256": "0" * 64} if kind == "verified" else None,
        )
    )
    await body.waits.wait()
    assert 0 == (await house.door.look(alice, upload_id)).held_bytes
    receiving.cancel()
    await asyncio.wait([receiving])
    assert 0 == (await house.door.look(alice, upload_id)).held_bytes


async def test_a_newcomer_asks_a_stalled_holder(house: House, alice: Principal) -> None:
    """A hundred times: the holder leaves within a second, its answer is Interrupted, and the offset told is right."""
    loop = asyncio.get_running_loop()
    content = pattern(2_048)
    for turn in range(100):
        upload_id = await opened(house, alice, None if turn % 2 else 2048)
        first = content[: 20 * turn]
        body = ScriptedBody(*([first] if first else []), asyncio.Event())
        old = asyncio.ensure_future(house.door.receive(alice, upload_id, body))
        await body.waits.wait()
        begun = loop.time()

        with pytest.raises(OffsetMismatch) as raised:
            await house.door.receive(alice, upload_id, ScriptedBody(b"?"), offset=3000)
        offset = raised.value.facts["offset"]
        await house.door.receive(alice, upload_id, ScriptedBody(content[offset:]), offset=offset)

        assert loop.time() - begun < 1
        assert len(first) == offset
        with pytest.raises(Interrupted):
            await old
        assert content == await completed(house, alice, upload_id)


async def test_newcomers_at_every_moment(house: House, alice: Principal) -> None:
    """A rival that comes at any step of the holder's, its closing ones too, gets an answer that is true."""
    content = pattern(25_600)
    for steps in range(0, 100, 3):
        upload_id = await opened(house, alice, len(content))
        old = asyncio.ensure_future(
            house.door.receive(alice, upload_id, ScriptedBody(*[content[at : at + 256] for at in range(0, 5120, 256)]))
        )
        for _ in range(steps):
            await asyncio.sleep(0 if steps % 2 else 0.0002)
        try:
            offset = (await house.door.receive(alice, upload_id, ScriptedBody(), offset=9999)).held_bytes
        except OffsetMismatch as mismatch:
            offset = mismatch.facts["offset"]
        (result,) = await asyncio.gather(old, return_exceptions=True)

        held = (await house.door.look(alice, upload_id)).held_bytes
        if isinstance(result, Interrupted):
            assert offset == held
        else:
            assert 5120 == held == result.held_bytes
            assert offset in (0, held)  # the rival came before the holder had begun, or waited for its end
        await house.door.receive(alice, upload_id, ScriptedBody(content[held:]), offset=held)
        assert content == await completed(house, alice, upload_id)


async def test_many_rivals_leave_one_upload(house: House, alice: Principal) -> None:
    """Ten clients that all resume at once: nobody is told a wrong offset, and the bytes are the client's."""
    content = pattern(76_800)
    upload_id = await opened(house, alice, len(content))

    async def client(number: int) -> int:
        offset, tries = 0, 0
        while offset < len(content):
            tries += 1
            assert tries < 500
            chunk = content[offset : offset + 1000 + number]
            body = ScriptedBody(chunk[:500], *([chunk[500:]] if chunk[500:] else []))
            try:
                offset = (await house.door.receive(alice, upload_id, body, offset=offset)).held_bytes
            except OffsetMismatch as mismatch:
                offset = mismatch.facts["offset"]
            except Interrupted:
                await asyncio.sleep(0)
        return offset

    assert [len(content)] * 10 == await asyncio.gather(*(client(number) for number in range(10)))
    assert content == await completed(house, alice, upload_id)


@pytest.mark.parametrize("close", ["complete", "abort"])
async def test_closing_asks_the_writers(house: House, alice: Principal, close: str) -> None:
    """Completing and aborting wait for every segment's writer, who is asked to leave; afterwards no byte is taken."""
    upload_id = await opened(house, alice)
    bodies = [ScriptedBody(b"x", asyncio.Event()) for _ in range(3)]
    writers = [
        asyncio.ensure_future(house.door.receive(alice, upload_id, body, segment=index))
        for index, body in enumerate(bodies)
    ]
    for body in bodies:
        await body.waits.wait()

    action: Callable[..., object] = getattr(house.door, close)
    await action(alice, upload_id)  # type: ignore[misc]

    assert [Interrupted] * 3 == [type(r) for r in await asyncio.gather(*writers, return_exceptions=True)]
    late = ScriptedBody(b"x")
    with pytest.raises(UploadClosed):
        await house.door.receive(alice, upload_id, late, offset=1)
    assert not late.is_started


@pytest.mark.parametrize("size", [None, 10])
async def test_parallel_segments_never_pass_a_bound(house: House, size: int | None) -> None:
    """Chunks that are admitted while others are under way don't add up to more than was announced, or is allowed."""
    who = user(max_file_bytes=10)
    upload_id = await opened(house, who, size)
    gates = [asyncio.Event() for _ in range(4)]
    bodies = [ScriptedBody(gate, b"x" * 4) for gate in gates]
    writers = [
        asyncio.ensure_future(house.door.receive(who, upload_id, body, segment=index, mode=Mode.REPLACE))
        for index, body in enumerate(bodies)
    ]
    for body, gate in zip(bodies, gates, strict=True):
        await body.waits.wait()
        gate.set()

    results = await asyncio.gather(*writers, return_exceptions=True)

    assert 2 == sum(isinstance(result, TooLarge) for result in results)
    upload = await house.upload(upload_id)
    assert 8 == upload.held_bytes == sum(segment.length for segment in upload.segments.values())
    assert (size or 8) == (await house.usage(who.id)).reserved_bytes


async def test_a_limit_is_allowed_to_the_byte(house: House) -> None:
    """Threat 15: the limit is stored, one byte more is refused, before the body where its length is known."""
    who = user(max_file_bytes=10)
    for size, parts in ((10, [b"x" * 10]), (None, [b"x" * 5, b"x" * 5])):
        upload_id = await opened(house, who, size)
        await house.door.receive(who, upload_id, ScriptedBody(*parts))
        assert b"x" * 10 == await completed(house, who, upload_id)

    upload_id = await opened(house, who)
    known = ScriptedBody(b"x" * 11, declared_size=11)
    with pytest.raises(TooLarge) as raised:
        await house.door.receive(who, upload_id, known)
    assert ({"limit": 10}, False) == (raised.value.facts, known.is_started)
    with pytest.raises(TooLarge):
        await house.door.receive(who, upload_id, ScriptedBody(b"x" * 10, b"y"))
    with pytest.raises(TooLarge):
        await house.door.open(who, declared(11))


async def test_quota_is_refused_to_the_byte(house: House) -> None:
    """An upload of unknown size gets every byte that is free, and not one more."""
    who = user(total_bytes=3_000_000)
    await house.door.accept(who, declared(), ScriptedBody(b"x" * 1_000_000))
    upload_id = await opened(house, who)
    chunks = [b"y" * 50_000] * 40

    await house.door.receive(who, upload_id, ScriptedBody(*chunks))
    assert 2_000_000 == (await house.usage()).reserved_bytes
    with pytest.raises(QuotaExceeded) as raised:
        await house.door.receive(who, upload_id, ScriptedBody(b"z"), offset=2_000_000)

    assert {"available": 0, "total": 3_000_000} == raised.value.facts
    assert b"y" * 2_000_000 == await completed(house, who, upload_id)
    assert 3_000_000 == (await house.usage()).stored_bytes


async def test_quota_stops_in_the_middle(house: House) -> None:
    """What was made durable before the refusal stays, is reserved, and never lets the quota be passed."""
    who = user(total_bytes=20_000)
    upload_id = await opened(house, who)
    with pytest.raises(QuotaExceeded):
        await house.door.receive(who, upload_id, ScriptedBody(*[b"x" * 3000] * 10))

    held = (await house.upload(upload_id)).held_bytes
    assert (held, held) == ((await house.usage()).reserved_bytes, (await house.upload(upload_id)).reserved_bytes)
    with pytest.raises(QuotaExceeded):
        await house.door.open(who, declared(20_001 - held))
    other = await opened(house, who, 20_000 - held)
    await house.door.receive(who, other, ScriptedBody(b"y" * (20_000 - held)))
    await completed(house, who, other)
    await completed(house, who, upload_id)
    assert 20_000 == (await house.usage()).stored_bytes


async def test_an_unknown_size_grows_in_steps(house: House, alice: Principal) -> None:
    """Room is taken before bytes are written, a mebibyte at a time, or at once where a bound is known."""
    for bound, reserved in ((None, [1 << 20, 1 << 20, 3 << 20]), (5 << 20, [5 << 20] * 3)):
        upload_id = await opened(house, alice)
        gates = [asyncio.Event() for _ in range(3)]
        body = ScriptedBody(b"x", gates[0], b"y" * 1000, gates[1], *[b"z" * (1 << 20)] * 2, gates[2])
        receiving = asyncio.ensure_future(house.door.receive(alice, upload_id, body, at_most=bound))
        seen = []
        for gate in gates:
            await body.waits.wait()
            body.waits.clear()
            seen.append((await house.usage()).reserved_bytes)
            gate.set()
        await receiving
        assert (2 << 20) + 1001 == (await house.usage()).reserved_bytes
        await house.door.abort(alice, upload_id)
        assert reserved == seen


async def test_the_administrator_may_continue_anothers(house: House, alice: Principal) -> None:
    """And the bytes are the owner's."""
    upload_id = await opened(house, alice)
    await house.door.receive(ADMIN, upload_id, ScriptedBody(b"abc"))

    file = await house.door.complete(ADMIN, upload_id)

    assert "jwt:alice" == file.owner
    assert (3, 0) == ((await house.usage()).stored_bytes, (await house.usage()).reserved_bytes)
