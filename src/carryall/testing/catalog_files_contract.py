"""What every catalog must remember of files; part of CatalogContract."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import pytest

from carryall.model.file import Copy, CopyState, File, Link
from carryall.model.target import Target
from carryall.ports.catalog import Catalog, Tx
from carryall.ports.catalog_files import CopyQuery, FileQuery, Sort
from carryall.testing.fakes import MORNING

T = TypeVar("T")
HOUR = timedelta(hours=1)
NAMES = ["ärger.txt", "Zoo.png", "apple.txt", "apple.txt", "100% sure_.txt", "\U0001f642 \x00\n.txt", "Ärger.txt"]


def a_copy(store: str, key: str, **changes: Any) -> Copy:
    """Give a copy that has a value in every field that can have one."""
    copy = Copy(
        store,
        key,
        CopyState.FAILED,
        location=key,
        tag='"é"',
        link="https://example.org/ü",
        sent_bytes=1 << 62,
        attempts=1,
        error="réfusé",
        error_code="store_refused",
        next_try_at=MORNING + HOUR,
        stored_at=MORNING,
        checked_at=MORNING + timedelta(microseconds=1),
    )
    return replace(copy, **changes)


def a_file(**changes: Any) -> File:
    """Give a file that has a value in every field that can have one."""
    file = File(
        id="file",
        short_id="short",
        owner="user:alice",
        door="blobs",
        name="photo.png",
        size=1 << 62,
        sha256="c" * 64,
        media_type="image/png",
        created_at=MORNING + timedelta(microseconds=1),
        declared_type="text/plain",
        path="a/photo.png",
        public_name="public.png",
        external_id="17",
        upload_id="up",
        expires_at=MORNING + HOUR,
        retention=timedelta(days=90),
        last_read_at=MORNING,
        downloads=3,
        downloaded_bytes=1 << 62,
        metadata={"key": "välue"},
        target=Target(("s3", "mega"), 1),
        gives_up=True,
        wants_link=True,
        copies=(a_copy("local", "key", location="place", is_cache=True), a_copy("s3", "other", attempts=3)),
    )
    return replace(file, **changes)


def numbered(number: int, **changes: Any) -> File:
    """Give one of many files: names and sizes repeat, times too, ids are in no order."""
    unique = {name: f"{name}{number}" for name in ("short_id", "path", "public_name", "external_id", "upload_id")}
    values: dict[str, Any] = {
        **unique,
        "id": f"{number * 7919 % 1000:03}",
        "name": NAMES[number % len(NAMES)],
        "size": number % 3,
        "created_at": MORNING + HOUR * (number // 4),
        "copies": (),
    }
    return a_file(**values | changes)


async def add_all(catalog: Catalog, pick: Callable[[Tx], Callable[[T], None]], *things: T) -> None:
    """Write things in one transaction: `add_all(catalog, lambda tx: tx.files.add, one, two)`."""

    def work(tx: Tx) -> None:
        for thing in things:
            pick(tx)(thing)

    await catalog.write(work)


async def add_files(catalog: Catalog, *files: File) -> None:
    """Write files in one transaction."""
    await add_all(catalog, lambda tx: tx.files.add, *files)


async def found(catalog: Catalog, **query: Any) -> list[str]:
    """Give the sorted ids of the files that fit."""
    return sorted(file.id for file in await catalog.read(lambda tx: tx.files.find(FileQuery(**query))))


class FileRules:
    """What is remembered of files."""

    async def test_a_file_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """Every field survives, with its copies, under every name that it has."""
        file, bare = a_file(), numbered(1, path=None, public_name=None, external_id=None, upload_id=None, metadata={})
        await add_files(catalog, file, bare)

        def by_all_names(tx: Tx) -> list[File | None]:
            return [
                tx.files.get("file"),
                tx.files.by_short_id("short"),
                tx.files.by_path("user:alice", "a/photo.png"),
                tx.files.by_public_name("public.png"),
                tx.files.by_external_id("user:alice", "17"),
                tx.files.by_upload("up"),
            ]

        assert [file] * 6 == await catalog.read(by_all_names)
        assert bare == await catalog.read(lambda tx: tx.files.get(bare.id))
        others = await catalog.read(
            lambda tx: [tx.files.by_path("user:bob", "a/photo.png"), tx.files.by_external_id("user:bob", "17")]
        )
        assert [None, None] == others

    @pytest.mark.parametrize("sort", ["created", "-created", "name", "-name", "size", "-size"])
    async def test_pages_follow_each_other(self, catalog: Catalog, sort: Sort) -> None:
        """Paging gives every file once, in the order asked for, although sort values repeat and files are added."""
        files = [numbered(number) for number in range(30)]
        await add_files(catalog, *files)
        query, seen = FileQuery(sort=sort, limit=4), list[File]()
        while page := await self._page(catalog, query):
            seen += page
            query = query.following(page[-1])

        whole = await catalog.read(lambda tx: tx.files.find(FileQuery(sort=sort)))
        assert list(whole) == seen
        assert sorted(file.id for file in files) == sorted(file.id for file in seen)
        attribute = {"created": "created_at"}.get(sort.lstrip("-"), sort.lstrip("-"))
        keys = [(getattr(file, attribute), file.id) for file in seen]
        assert sorted(keys, reverse=sort.startswith("-")) == keys

    async def _page(self, catalog: Catalog, query: FileQuery) -> list[File]:
        return list(await catalog.read(lambda tx: tx.files.find(query)))

    async def test_offsets_skip(self, catalog: Catalog) -> None:
        """An offset leaves out as many as it says; counting ignores pages."""
        await add_files(catalog, *(numbered(number) for number in range(10)))
        whole = await catalog.read(lambda tx: tx.files.find(FileQuery()))

        page = await catalog.read(lambda tx: tx.files.find(FileQuery(offset=3, limit=4)))

        assert list(whole[3:7]) == list(page)
        assert 10 == await catalog.read(lambda tx: tx.files.count(FileQuery(offset=3, limit=4)))

    @pytest.mark.parametrize(
        ("query", "ids"),
        [
            ({"owner": "user:bob"}, ["b"]),
            ({"door": "gallery"}, ["c"]),
            ({"name_contains": "50%_"}, ["d"]),
            ({"name_contains": "PHOTO"}, ["a", "b", "c"]),
            ({"name_contains": "öl"}, ["e"]),
            ({"media_type": "image/"}, ["a", "b", "c"]),
            ({"media_type": "text/plain"}, ["d"]),
            ({"media_type": "text/plai"}, []),
            ({"created_from": MORNING, "created_before": MORNING + HOUR}, ["a", "b", "d", "e"]),
            ({"external_id": "17", "owner": "user:alice"}, ["a"]),
            ({"has_external_id": True}, ["a"]),
            ({"file_id": "b"}, ["b"]),
            ({"path_prefix": "dir_/"}, ["d"]),
            ({"path_prefix": "DIR_/"}, []),
            ({"idle_since": MORNING + HOUR}, ["a", "b", "d"]),
        ],
    )
    async def test_files_are_found(self, catalog: Catalog, query: dict[str, Any], ids: list[str]) -> None:
        """Each condition narrows; letters with a meaning in patterns have none here; the count agrees."""
        names = {"path": None, "public_name": None, "external_id": None, "last_read_at": None}
        files = [
            a_file(**names | {"id": "a", "external_id": "17", "path": "dir1/a"}),
            a_file(**names, id="b", owner="user:bob"),
            a_file(**names, id="c", door="gallery", created_at=MORNING + HOUR),
            a_file(**names | {"id": "d", "name": "50%_off", "media_type": "text/plain", "path": "dir_/d"}),
            a_file(
                **names | {"id": "e", "name": "ÖL 50 % x", "media_type": "text/plain2", "last_read_at": MORNING + HOUR}
            ),
        ]
        await add_files(catalog, *(replace(one, short_id=one.id, upload_id=one.id, copies=()) for one in files))

        assert ids == await found(catalog, **query)
        assert len(ids) == await catalog.read(lambda tx: tx.files.count(FileQuery(**query)))

    async def test_files_whose_time_is_up_can_be_left_out(self, catalog: Catalog) -> None:
        """They are there until they are removed, but nobody need see them."""
        ends = {"over": MORNING, "later": MORNING + timedelta(microseconds=1), "never": None}
        files = [numbered(n, id=name, expires_at=end) for n, (name, end) in enumerate(ends.items())]
        await add_files(catalog, *files)

        assert ["later", "never"] == await found(catalog, alive_at=MORNING)
        assert 2 == await catalog.read(lambda tx: tx.files.count(FileQuery(alive_at=MORNING)))
        assert ["later", "never", "over"] == await found(catalog)

    async def test_files_change(self, catalog: Catalog) -> None:
        """Names, expiry and copies can change; nothing else does."""
        await add_files(catalog, a_file())
        copy = a_copy("s3", "changed", state=CopyState.STORED, tag=None, link=None, error=None, next_try_at=None)

        def work(tx: Tx) -> None:
            tx.files.rename("file", "new\nname")
            tx.files.set_expiry("file", MORNING, None)
            tx.files.put_copy("file", copy)
            tx.files.put_copy("file", Copy("third", "k", CopyState.QUEUED))
            tx.files.aim("file", Target(("s3", "third"), 2))

        await catalog.write(work)

        copies = (a_file().copies[0], copy, Copy("third", "k", CopyState.QUEUED))
        aimed = Target(("s3", "third"), 2)
        expected = a_file(name="new\nname", expires_at=MORNING, retention=None, copies=copies, target=aimed)
        assert expected == await catalog.read(lambda tx: tx.files.get("file"))
        await catalog.write(lambda tx: tx.files.remove_copy("file", "local"))
        await catalog.write(lambda tx: tx.files.remove_copy("file", "nobody's"))
        assert replace(expected, copies=copies[1:]) == await catalog.read(lambda tx: tx.files.get("file"))

    async def test_progress_is_written_while_it_goes_on(self, catalog: Catalog) -> None:
        """To one copy, that is being delivered; else nobody wants it, and that is told."""
        copies = [Copy(state.value, "key", state) for state in CopyState]
        await add_files(catalog, a_file(copies=tuple(copies)))

        def work(tx: Tx) -> list[bool]:
            return [tx.files.note_sent("file", copy.store, 1 << 40) for copy in copies]

        assert [copy.state is CopyState.DELIVERING for copy in copies] == await catalog.write(work)
        assert not await catalog.write(lambda tx: tx.files.note_sent("none", "delivering", 1))
        file = await catalog.read(lambda tx: tx.files.get("file"))
        assert file is not None
        assert [1 << 40 if c.state is CopyState.DELIVERING else 0 for c in file.copies] == [
            c.sent_bytes for c in file.copies
        ]

    async def test_files_of_the_same_content_are_found(self, catalog: Catalog) -> None:
        """One owner's, of late, newest first."""
        times = {"old": -2 * HOUR, "first": -HOUR, "last": timedelta(0)}
        files = [numbered(n, id=name, created_at=MORNING + age) for n, (name, age) in enumerate(times.items())]
        await add_files(catalog, *files, numbered(5, owner="user:bob"), numbered(6, sha256="d" * 64))

        same = await catalog.read(lambda tx: tx.files.with_content("user:alice", "c" * 64, since=MORNING - HOUR))

        assert ["last", "first"] == [file.id for file in same]

    async def test_a_download_puts_the_expiry_off(self, catalog: Catalog) -> None:
        """Counting never loses one; a file with a retention stays that long from now, any other as long as before."""
        kept = numbered(1, retention=None, downloads=0, downloaded_bytes=0)
        await add_files(catalog, a_file(downloads=0, downloaded_bytes=0), kept)
        now = MORNING + timedelta(microseconds=7)

        def work(tx: Tx) -> None:
            for _ in range(3):
                tx.files.count_download("file", 10, now)
                tx.files.count_download(kept.id, 1, now)

        await catalog.write(work)

        read: dict[str, Any] = {"downloads": 3, "last_read_at": now}
        slid = a_file(**read, downloaded_bytes=30, expires_at=now + timedelta(days=90))
        assert slid == await catalog.read(lambda tx: tx.files.get("file"))
        assert replace(kept, **read, downloaded_bytes=3) == await catalog.read(lambda tx: tx.files.get(kept.id))

    async def test_removing_a_file_frees_its_names(self, catalog: Catalog) -> None:
        """Its copies and links go with it, and another file may have its names in the same transaction."""
        await add_files(catalog, a_file())
        link = Link("link", "file", "user:alice", MORNING, max_downloads=1)
        await catalog.write(lambda tx: tx.links.add(link))
        await catalog.write(lambda tx: tx.grants.add("link", "client", MORNING))

        def work(tx: Tx) -> None:
            tx.files.remove("file")
            tx.files.add(a_file(id="next", copies=()))

        await catalog.write(work)

        assert [None, None] == await catalog.read(lambda tx: [tx.files.get("file"), tx.links.get("link")])
        assert not await catalog.read(lambda tx: tx.files.holds_key("local", "key"))
        assert a_file(id="next", copies=()) == await catalog.read(lambda tx: tx.files.by_short_id("short"))

    async def test_expired_files_are_found(self, catalog: Catalog) -> None:
        """Files whose time is up, soonest first; those without an end never."""
        ends = [MORNING, MORNING - HOUR, MORNING + timedelta(microseconds=1), None]
        await add_files(catalog, *(numbered(n, id=str(n), expires_at=end) for n, end in enumerate(ends)))

        for limit, ids in ((1, ["1"]), (9, ["1", "0"])):
            expired = await catalog.read(partial(_expired, limit=limit))
            assert ids == [file.id for file in expired]

    async def test_deliveries_are_found_by_page(self, catalog: Catalog) -> None:
        """Copies in the states that are asked for, the newest files' first, by store, owner and file; no caches."""
        one, two = Copy("b", "k", CopyState.QUEUED), Copy("s3", "k", CopyState.FAILED, error="refused", attempts=2)
        cache = Copy("local", "k", CopyState.QUEUED, is_cache=True)
        of_bob = {"owner": "user:bob"}
        many = [numbered(n, id=str(n), copies=(one, two, cache), **(of_bob if n == 5 else {})) for n in range(6)]
        await add_files(catalog, *many, numbered(6, id="6", copies=(replace(one, state=CopyState.STORED),)))
        under_way = (CopyState.QUEUED, CopyState.FAILED)
        everything = CopyQuery(under_way, limit=5)
        expected = [(n, store) for n in "543210" for store in ("b", "s3")]

        pages: list[list[tuple[File, Copy]]] = []
        query = everything
        while page := await catalog.read(partial(_deliveries, query=query)):
            pages.append(page)
            query = everything.following(page[-1])
        assert [5, 5, 2] == [len(page) for page in pages]
        assert expected == [(file.id, copy.store) for page in pages for file, copy in page]
        assert two == pages[0][1][1]
        for narrow, found in (
            (CopyQuery((CopyState.FAILED,), owner="user:alice"), ["4s3", "3s3", "2s3", "1s3", "0s3"]),
            (CopyQuery((CopyState.STORED,)), ["6b"]),
            (CopyQuery(under_way, store="b", owner="user:bob"), ["5b"]),
            (CopyQuery(under_way, file_id="2"), ["2b", "2s3"]),
            (CopyQuery(under_way, external_id="external_id3", store="s3"), ["3s3"]),
            (CopyQuery((CopyState.GONE,)), []),
        ):
            pairs = await catalog.read(partial(_deliveries, query=narrow))
            assert found == [file.id + copy.store for file, copy in pairs]

    async def test_a_held_key_is_known(self, catalog: Catalog) -> None:
        """A key belongs to its store, whatever state the copy is in; so does the place where the bytes are."""
        await add_files(catalog, a_file())

        held = [
            ("local", "key"),
            ("s3", "other"),
            ("local", "place"),
            ("local", "other"),
            ("s3", "key"),
            ("s3", "place"),
        ]
        answers = await catalog.read(lambda tx: [tx.files.holds_key(*one) for one in held])
        assert [True] * 3 + [False] * 3 == answers


def _expired(tx: Tx, *, limit: int) -> list[File]:
    return list(tx.files.expired(MORNING, limit))


def _deliveries(tx: Tx, *, query: CopyQuery) -> list[tuple[File, Copy]]:
    return list(tx.files.deliveries(query))
