"""What every catalog must remember of uploads; part of CatalogContract."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from carryall.model.target import Target
from carryall.model.upload import Declared, Segment, State, Upload
from carryall.ports.catalog import Catalog, Tx
from carryall.testing.catalog_files_contract import HOUR, add_all
from carryall.testing.fakes import MORNING


def an_upload(**changes: Any) -> Upload:
    """Give an upload that has a value in every field that can have one."""
    declared = Declared(
        name="\u202egpj.exe \U0001f642",
        door="relay",
        media_type="image/png",
        size=9_000_000_000_000_000,
        at_most=7,
        path="a/b ü",
        external_id="17",
        public_name="x.png",
        must_be_new=True,
        must_replace="f",
        only_extensions=("png", "jpg"),
        metadata={"key": "välue"},
        digests={"sha-256": "a" * 64, "md5": "b" * 32},
    )
    upload = Upload(
        id="up",
        owner="user:alice",
        declared=declared,
        target=Target.of("local"),
        limit_bytes=1 << 62,
        reserved_bytes=5,
        is_resumable=True,
        created_at=MORNING + timedelta(microseconds=1),
        touched_at=MORNING + HOUR,
        expires_at=MORNING + 2 * HOUR,
        size=9_000_000_000_000_000,
    )
    return replace(upload, **changes)


def _raised(tx: Tx, *, above: int) -> None:
    tx.uploads.raise_fence("up", above=above)


class UploadRules:
    """What is remembered of uploads."""

    async def test_a_fence_is_raised_once_for_all_who_saw_it(self, catalog: Catalog) -> None:
        """Two who take an upload over from the same holder raise its fence by one; saving never lowers it."""
        await catalog.write(lambda tx: tx.uploads.add(an_upload(node="n")))
        for above in (0, 0, 5):
            await catalog.write(partial(_raised, above=above))
        await catalog.write(lambda tx: tx.uploads.save(an_upload()))

        assert an_upload(node="n", fence=1) == await catalog.read(lambda tx: tx.uploads.get("up"))

    async def test_what_a_succession_left_is_remembered(self, catalog: Catalog) -> None:
        """A segment's frozen extents come back in their order."""
        segment = Segment(2, 30, 1 << 40, ((0, 10), (1 << 20, 5)))
        await catalog.write(lambda tx: tx.uploads.add(an_upload()))
        await catalog.write(lambda tx: tx.uploads.put_segment("up", replace(segment, length=20)))
        await catalog.write(lambda tx: tx.uploads.put_segment("up", segment))

        assert {2: segment} == (await catalog.read(lambda tx: tx.uploads.at("up", 2))).segments  # type: ignore[union-attr]
        assert [("up", segment)] == list(await catalog.read(lambda tx: tx.uploads.open_segments()))

    async def test_an_upload_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """Every field survives, whatever a client declared."""
        plain = an_upload(id="plain", declared=Declared(name="", door="v1"), size=None, limit_bytes=None)

        await add_all(catalog, lambda tx: tx.uploads.add, an_upload(), plain)

        assert an_upload() == await catalog.read(lambda tx: tx.uploads.get("up"))
        assert plain == await catalog.read(lambda tx: tx.uploads.get("plain"))

    async def test_save_writes_what_changes(self, catalog: Catalog) -> None:
        """Saving keeps segments and everything that was fixed at open."""
        upload = an_upload()
        await catalog.write(lambda tx: tx.uploads.add(upload))
        await catalog.write(lambda tx: tx.uploads.put_segment("up", Segment(3, 10)))
        later = replace(upload.sealed("file"), touched_at=MORNING + 3 * HOUR, expires_at=MORNING + 4 * HOUR)

        await catalog.write(lambda tx: tx.uploads.save(later))

        assert replace(later, segments={3: Segment(3, 10)}) == await catalog.read(lambda tx: tx.uploads.get("up"))

    async def test_segments_are_written_one_by_one(self, catalog: Catalog) -> None:
        """A segment is new or takes its own place, and no other upload's."""

        def work(tx: Tx) -> None:
            for upload_id in ("up", "up2"):
                tx.uploads.add(an_upload(id=upload_id))
            for segment in (Segment(1, 5), Segment(0, 1), Segment(1, 9, 2)):
                tx.uploads.put_segment("up", segment)

        await catalog.write(work)

        upload = await catalog.read(lambda tx: tx.uploads.get("up"))
        assert upload is not None
        assert {0: Segment(0, 1), 1: Segment(1, 9, 2)} == upload.segments
        other = await catalog.read(lambda tx: tx.uploads.get("up2"))
        assert other is not None
        assert {} == other.segments

    async def test_one_segment_is_given_alone(self, catalog: Catalog) -> None:
        """Of a session with thousands of chunks one is read; the others' bytes are a number."""
        await add_all(catalog, lambda tx: tx.uploads.add, an_upload(), an_upload(id="up2"))
        for upload_id in ("up", "up2"):
            await catalog.write(partial(_put_nine, upload_id=upload_id))

        def at(index: int) -> Callable[[Tx], Upload | None]:
            return lambda tx: tx.uploads.at("up", index)

        assert an_upload(segments={3: Segment(3, 5)}, elsewhere_bytes=4) == await catalog.read(at(3))
        assert an_upload(elsewhere_bytes=9) == await catalog.read(at(1))
        assert await catalog.read(lambda tx: tx.uploads.at("nothing", 0)) is None

    async def test_no_reservation_is_lost(self, catalog: Catalog) -> None:
        """Reservations that change at once are all counted, on the row of their upload."""
        await add_all(catalog, lambda tx: tx.uploads.add, an_upload(), an_upload(id="up2"))
        changes = (3, -1, 10)

        await asyncio.gather(*(catalog.write(partial(_reserve, change=change)) for change in changes * 10))

        assert an_upload(reserved_bytes=5 + 120) == await catalog.read(lambda tx: tx.uploads.get("up"))
        assert an_upload(id="up2") == await catalog.read(lambda tx: tx.uploads.get("up2"))

    async def test_what_is_to_be_given_up_is_found(self, catalog: Catalog) -> None:
        """Open uploads past their time, oldest first; open one-shot uploads; an owner's open ones, newest first."""
        uploads = [
            an_upload(id="old", expires_at=MORNING, is_resumable=False),
            an_upload(id="older", expires_at=MORNING - HOUR, created_at=MORNING - HOUR),
            an_upload(id="closed", expires_at=MORNING - HOUR, is_resumable=False, state=State.ABORTED),
            an_upload(id="fresh", expires_at=MORNING + timedelta(microseconds=1), created_at=MORNING + HOUR),
            an_upload(id="another's", expires_at=MORNING + HOUR, owner="user:bob"),
        ]
        await add_all(catalog, lambda tx: tx.uploads.add, *uploads)

        assert ["older", "old"] == list(await catalog.read(lambda tx: tx.uploads.stale(MORNING, 9)))
        assert ["older"] == list(await catalog.read(lambda tx: tx.uploads.stale(MORNING, 1)))
        assert [("old", None)] == list(await catalog.read(lambda tx: tx.uploads.one_shot_open()))
        mine = await catalog.read(lambda tx: tx.uploads.open_of("user:alice", 2))
        assert ["fresh", "old"] == [upload.id for upload in mine]

    async def test_an_end_is_put_off(self, catalog: Catalog) -> None:
        """Of open uploads among those named, and never brought nearer."""
        late = MORNING + timedelta(days=9)
        uploads = [
            an_upload(id="soon", expires_at=MORNING),
            an_upload(id="later", expires_at=late + timedelta(days=1)),
            an_upload(id="closed", expires_at=MORNING, state=State.ABORTED),
            an_upload(id="other", expires_at=MORNING),
        ]
        await add_all(catalog, lambda tx: tx.uploads.add, *uploads)

        await catalog.write(lambda tx: tx.uploads.put_off(["soon", "later", "closed"], late))

        found = await catalog.read(lambda tx: [tx.uploads.get(one.id) for one in uploads])
        assert [late, late + timedelta(days=1), MORNING, MORNING] == [one.expires_at for one in found if one]

    async def test_segments_of_open_uploads_are_listed(self, catalog: Catalog) -> None:
        """Those with bytes, of uploads that are open, each with its upload's id."""
        uploads = [an_upload(id="open"), an_upload(id="empty"), an_upload(id="closed", state=State.ABORTED)]
        await add_all(catalog, lambda tx: tx.uploads.add, *uploads)
        for upload_id in ("open", "closed"):
            await catalog.write(partial(_put_nine, upload_id=upload_id))

        found = await catalog.read(lambda tx: tx.uploads.open_segments())

        assert {"open"} == {upload_id for upload_id, _ in found}
        assert 9 == sum(segment.length for _, segment in found)

    async def test_what_is_reserved_ahead_is_found(self, catalog: Catalog) -> None:
        """Open uploads of unknown size that reserve more than all their segments hold."""
        uploads = [
            an_upload(id="ahead", size=None, reserved_bytes=10),
            an_upload(id="empty", size=None, reserved_bytes=1),
            an_upload(id="exact", size=None, reserved_bytes=9),
            an_upload(id="sized", size=100, reserved_bytes=100),
            an_upload(id="closed", size=None, reserved_bytes=10, state=State.EXPIRED),
        ]
        await add_all(catalog, lambda tx: tx.uploads.add, *uploads)
        for upload_id in ("ahead", "exact", "closed"):
            await catalog.write(partial(_put_nine, upload_id=upload_id))

        found = await catalog.read(lambda tx: tx.uploads.reserved_ahead())

        assert {"ahead": 9, "empty": 0} == {upload.id: upload.held_bytes for upload in found}

    async def test_closed_uploads_are_forgotten(self, catalog: Catalog) -> None:
        """Rows of closed uploads go after a while, a page at a time; open ones stay however old they are."""
        old = {"touched_at": MORNING - timedelta(microseconds=1)}
        uploads = [
            an_upload(id="open", **old),
            an_upload(id="sealed", state=State.SEALED, **old),
            an_upload(id="aborted", state=State.ABORTED, **old),
            an_upload(id="recent", state=State.ABORTED, touched_at=MORNING),
        ]
        await add_all(catalog, lambda tx: tx.uploads.add, *uploads)
        await catalog.write(lambda tx: tx.uploads.put_segment("sealed", Segment(0, 1)))

        gone = [await catalog.write(lambda tx: tx.uploads.forget_closed(MORNING, 1)) for _ in range(3)]

        assert [1, 1, 0] == gone
        left = await catalog.read(lambda tx: [one.id for one in uploads if tx.uploads.get(one.id)])
        assert ["open", "recent"] == left


def _put_nine(tx: Tx, *, upload_id: str) -> None:
    for segment in (Segment(0, 4), Segment(3, 5)):
        tx.uploads.put_segment(upload_id, segment)


def _reserve(tx: Tx, *, change: int) -> None:
    tx.uploads.add_reserved("up", change)
