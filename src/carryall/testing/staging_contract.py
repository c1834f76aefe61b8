"""What every staging must do: subclass StagingContract, say how to make one, and pass."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from carryall.model.errors import Unavailable
from carryall.model.upload import Segment
from carryall.ports.staging import Staging
from carryall.testing.fakes import pattern

_SIZES = [0, 1, 8191, 8193, 1 << 20, (1 << 21) + 1]


async def landed(staging: Staging, upload_id: str, segment: Segment, *chunks: bytes) -> Segment:
    """Land chunks at the end of a segment; give the segment as its row should say now."""
    landing = await staging.land(upload_id, segment)
    try:
        for chunk in chunks:
            await landing.put(chunk)
        assert sum(map(len, chunks)) == landing.taken
        return replace(segment, length=await landing.sync())
    finally:
        await landing.close()


async def held(staging: Staging, upload_id: str, segments: Sequence[Segment]) -> bytes:
    """Give the joined bytes of an upload, and check what is said about them."""
    await staging.join(upload_id, segments, algorithms=())
    staged = await staging.staged(upload_id, segments)
    content = staged.path.read_bytes()
    assert (len(content), content[:8192]) == (staged.size, staged.head)
    return content


async def extents(staging: Staging) -> list[tuple[str, int]]:
    """List what is staged: (upload, size), sorted."""
    return sorted([(extent.upload_id, extent.size) async for extent in staging.extents()])


def sha256(content: bytes) -> str:
    """Give the hexadecimal digest."""
    return hashlib.sha256(content).hexdigest()


def pieces(content: bytes, size: int) -> Iterable[bytes]:
    """Cut bytes into pieces."""
    return (content[at : at + size] for at in range(0, len(content), size))


class StagingContract:
    """The contract of `ports.staging.Staging`. Needs pytest-asyncio with `asyncio_mode = "auto"`.

    class TestMyStaging(StagingContract):
        async def make_staging(self, tmp_path):
            staging = MyStaging(tmp_path)
            yield staging
            staging.close()
    """

    def make_staging(self, tmp_path: Path) -> AsyncIterator[Staging]:
        """Give an empty staging, then take it down: an async generator that yields once."""
        raise NotImplementedError

    @pytest.fixture
    async def staging(self, tmp_path: Path) -> AsyncIterator[Staging]:
        """Give the staging under test."""
        async with asynccontextmanager(self.make_staging)(tmp_path) as made:
            yield made

    @pytest.mark.parametrize("size", _SIZES)
    async def test_what_landed_is_held(self, staging: Staging, size: int) -> None:
        """Bytes are kept in order and whole, whatever the size of their chunks."""
        content = pattern(size)

        segment = await landed(staging, "up", Segment(0, 0), *pieces(content, 100_003))

        assert Segment(0, size) == segment
        assert content == await held(staging, "up", [segment])

    async def test_a_write_goes_on_where_the_row_ends(self, staging: Staging) -> None:
        """A later landing appends."""
        segment = Segment(0, 0)
        for chunk in (b"one ", b"two ", b"three"):
            segment = await landed(staging, "up", segment, chunk)

        assert b"one two three" == await held(staging, "up", [segment])

    async def test_a_write_cuts_what_the_row_doesnt_count(self, staging: Staging) -> None:
        """Bytes past the row are of a write that was never acknowledged: the next writer removes them."""
        await landed(staging, "up", Segment(0, 0), b"acknowledged, and not")

        segment = await landed(staging, "up", Segment(0, 12), b"!")

        assert b"acknowledged!" == await held(staging, "up", [segment])

    async def test_bytes_past_the_row_are_no_part_of_the_upload(self, staging: Staging) -> None:
        """Completing without another write leaves them out, too: of the bytes, their head and their digest."""
        await landed(staging, "up", Segment(0, 0), b"acknowledged, and not")
        row = [Segment(0, 12)]

        assert {"sha-256": sha256(b"acknowledged")} == await staging.join("up", row, algorithms=["sha-256"])
        assert b"acknowledged" == await held(staging, "up", row)

    async def test_staged_alone_leaves_them_out(self, staging: Staging) -> None:
        """The same where the digest was known, and nothing had to be read."""
        await landed(staging, "up", Segment(0, 0), b"acknowledged, and not")

        staged = await staging.staged("up", [Segment(0, 12)])

        assert (12, b"acknowledged") == (staged.size, staged.head)
        assert b"acknowledged" == staged.path.read_bytes()

    async def test_a_loss_is_seen_by_the_next_write(self, staging: Staging) -> None:
        """Fewer bytes than the row says are damage: nothing is written behind the gap."""
        await landed(staging, "up", Segment(0, 0), b"half")

        for lost in (Segment(0, 8), Segment(1, 1)):
            with pytest.raises(Unavailable):
                await staging.land("up", lost)

    @pytest.mark.parametrize("segments", [[Segment(0, 8)], [Segment(0, 4), Segment(1, 2)], [Segment(0, 4, 1)]])
    async def test_a_loss_is_seen_when_completing(self, staging: Staging, segments: list[Segment]) -> None:
        """And no file is made of bytes that aren't there."""
        await landed(staging, "up", Segment(0, 0), b"half")
        await landed(staging, "up", Segment(1, 0), b"h")

        with pytest.raises(Unavailable):
            await held(staging, "up", segments)

    async def test_digests_are_of_what_this_landing_brought(self, staging: Staging) -> None:
        """They cover the landing's bytes, by the names of RFC 9530, and no algorithm that wasn't asked for."""
        segment = await landed(staging, "up", Segment(0, 0), b"before")
        landing = await staging.land("up", segment, algorithms=["sha-256", "md5"])
        await landing.put(b"mine")

        digests = await landing.digests()
        await landing.close()

        assert {"sha-256": sha256(b"mine"), "md5": hashlib.md5(b"mine", usedforsecurity=False).hexdigest()} == digests

    async def test_segments_are_joined_in_order(self, staging: Staging) -> None:
        """Whatever the order in which they came, they are joined in the order asked for, and digested as one."""
        contents = [bytes([65 + index]) * (1000 * index + 1) for index in range(5)]
        segments = {index: await landed(staging, "up", Segment(index, 0), contents[index]) for index in (3, 0, 4, 2, 1)}
        ordered = [segments[index] for index in range(5)]
        whole = b"".join(contents)

        for _ in range(2):  # what an interrupted join left is made anew
            assert sha256(whole) == (await staging.join("up", ordered, algorithms=["sha-256"]))["sha-256"]
            assert whole == await held(staging, "up", ordered)

    async def test_a_join_counts_by_the_rows(self, staging: Staging) -> None:
        """Bytes past a segment's row don't get between it and the next one."""
        await landed(staging, "up", Segment(0, 0), b"one, and more")
        two = await landed(staging, "up", Segment(1, 0), b" two")

        assert b"one two" == await held(staging, "up", [Segment(0, 3), two])

    async def test_a_succession_goes_on_in_another_extent(self, staging: Staging) -> None:
        """What the one before still writes to its extent changes nothing of what counts, nor of what comes after."""
        zombie = await staging.land("up", Segment(0, 0))
        await zombie.put(b"acknowledged")
        segment = Segment(0, await zombie.sync()).succeeded(7)

        segment = await landed(staging, "up", segment, b", and continued")
        segment = await landed(staging, "up", segment, b" twice")
        await zombie.put(b" by nobody")
        await zombie.sync()

        assert (12, ((0, 12), (7, 21))) == (segment.start, segment.pieces)
        assert b"acknowledged, and continued twice" == await held(staging, "up", [segment])
        await zombie.put(b" at all")
        await zombie.sync()
        await zombie.close()
        assert b"acknowledged, and continued twice" == (await staging.staged("up", [segment])).path.read_bytes()
        await staging.discard("up", [segment])

    async def test_what_a_zombie_left_is_copied_and_never_linked(self, staging: Staging) -> None:
        """A whole of which everything was written before a succession lies in a file that nobody has open."""
        zombie = await staging.land("up", Segment(0, 0))
        await zombie.put(b"whole")
        segment = Segment(0, await zombie.sync()).succeeded(7)

        assert b"whole" == await held(staging, "up", [segment])
        await zombie.put(b", or not")
        await zombie.sync()
        await zombie.close()

        assert b"whole" == (await staging.staged("up", [segment])).path.read_bytes()

    async def test_a_succession_is_linked_with_what_it_continues(self, staging: Staging) -> None:
        """Linking a segment of several extents links all of them."""
        first = await landed(staging, "part", Segment(0, 0), b"one")
        part = await landed(staging, "part", first.succeeded(7), b" two")

        await staging.link("part", part, "final", replace(part, index=3))
        await staging.discard_all("part")

        assert b"one two" == await held(staging, "final", [replace(part, index=3)])

    async def test_extents_are_apart(self, staging: Staging) -> None:
        """A write to the next extent leaves the one before as it is, until it is discarded."""
        old = await landed(staging, "up", Segment(0, 0), b"acknowledged")
        new = await landed(staging, "up", Segment(0, 0, 1), b"replacement")

        assert (b"acknowledged", b"replacement") == (
            await held(staging, "up", [old]),
            await held(staging, "up", [new]),
        )
        await staging.discard("up", [old])
        assert [("up", 11)] == await extents(staging)

    async def test_move_hands_bytes_over(self, staging: Staging) -> None:
        """An extent becomes another upload's, in place of what was there."""
        scratch = await landed(staging, "scratch", Segment(0, 0), b"chunk")
        await landed(staging, "up", Segment(4, 0, 1), b"what was there")

        await staging.move("scratch", scratch, "up", Segment(4, 5, 1))

        assert b"chunk" == await held(staging, "up", [Segment(4, 5, 1)])
        assert [("up", 5)] == await extents(staging)

    async def test_discarding_nothing_is_no_error(self, staging: Staging) -> None:
        """Discarding may run twice, and after a crash."""
        for _ in range(2):
            await staging.discard("up", [Segment(0, 9), Segment(1, 0, 3)])
            await staging.discard_all("up")

    async def test_discard_all_takes_everything_of_one_upload(self, staging: Staging) -> None:
        """Segments, extents and joins go; an upload whose id begins alike keeps its own."""
        segments = [await landed(staging, "up", Segment(index, 0, index), b"x") for index in range(3)]
        await staging.join("up", segments, algorithms=())
        await landed(staging, "up2", Segment(0, 0), b"other")

        await staging.discard_all("up")

        assert [("up2", 5)] == await extents(staging)

    async def test_extents_say_whose_they_are(self, staging: Staging) -> None:
        """The walk gives upload, segment, extent, size and age."""
        await landed(staging, "up", Segment(7, 0, 2), b"123")

        found = [extent async for extent in staging.extents()]

        assert [("up", 7, 2, 3)] == [(one.upload_id, one.segment, one.extent, one.size) for one in found]
        assert all(0 <= one.age_s < 3600 for one in found)

    async def test_a_cancelled_put_loses_nothing_before_it(self, staging: Staging) -> None:
        """Whoever waits for a put may be cancelled; what was put stays put, in order."""
        landing = await staging.land("up", Segment(0, 0))
        content = [bytes([number]) * (1 << 20) for number in range(6)]
        for chunk in content:
            putting = asyncio.ensure_future(landing.put(chunk))
            await asyncio.sleep(0)
            putting.cancel()
            await asyncio.wait([putting])

        length = await landing.sync()
        await landing.close()

        assert sum(map(len, content)) == length == landing.taken
        assert b"".join(content) == await held(staging, "up", [Segment(0, length)])

    async def test_closing_twice_is_once(self, staging: Staging) -> None:
        """Closing never raises."""
        landing = await staging.land("up", Segment(0, 0))
        await landing.put(b"x")

        for _ in range(2):
            await landing.close()

    async def test_parallel_segments_are_apart(self, staging: Staging) -> None:
        """Many landings of one upload at once don't mix."""
        contents = [bytes([index]) * 300_000 for index in range(16)]
        writing = (
            landed(staging, "up", Segment(index, 0), *pieces(content, 70_001)) for index, content in enumerate(contents)
        )

        segments = await asyncio.gather(*writing)

        assert b"".join(contents) == await held(staging, "up", segments)

    async def test_ready_tells_the_room(self, staging: Staging) -> None:
        """The free room is a number of bytes."""
        assert await staging.ready() > 0
