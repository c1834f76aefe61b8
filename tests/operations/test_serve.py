"""Files are found, read, shared and counted."""

import asyncio
from datetime import timedelta

import pytest
from tests.operations.conftest import ADMIN, House, declared, user

from carryall.model.errors import Malformed, Missing, StoreError, Unauthenticated
from carryall.model.principal import Kind, Principal, Scope
from carryall.operations.files import LinkWish, Shared
from carryall.operations.serve import SAME_DOWNLOAD, Presented
from carryall.ports.catalog_files import FileQuery
from carryall.testing.fakes import ScriptedBody

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)


def presented(shared: Shared, **changes: str | None) -> Presented:
    """Give what a link's URL carries."""
    expires_at = shared.link.expires_at
    values = {
        "link_id": shared.link.id,
        "expires_text": str(int(expires_at.timestamp())) if expires_at else None,
        "signature": shared.signature,
    }
    return Presented(**values | changes)  # type: ignore[arg-type]


async def test_twenty_clients_take_what_there_is(house: House, alice: Principal) -> None:
    """A link for 7 downloads gives exactly 7, however many come at once; a client's next ranges are its first ones'."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"x"))
    link = (await house.files.share(alice, file.id, LinkWish(max_downloads=7))).link

    results = await asyncio.gather(*(house.serve.take(link, f"client{n}") for n in range(20)), return_exceptions=True)

    served = [n for n, result in enumerate(results) if result is None]
    assert 7 == len(served)
    assert {"link_used_up"} == {result.stable_code for result in results if isinstance(result, Missing)}
    house.clock.advance(SAME_DOWNLOAD - TICK)
    for n in range(20):
        if n in served:
            await house.serve.take(link, f"client{n}")
        else:
            with pytest.raises(Missing):
                await house.serve.take(link, f"client{n}")
    house.clock.advance(TICK)
    with pytest.raises(Missing):
        await house.serve.take(link, f"client{served[0]}")


async def test_one_client_at_once_takes_one(house: House, alice: Principal) -> None:
    """Ten parallel ranges of one client are one download, also of the last one that there is."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"x"))
    link = (await house.files.share(alice, file.id, LinkWish(max_downloads=1))).link

    await asyncio.gather(*(house.serve.take(link, "client") for _ in range(10)))

    assert 1 == (await house.files.links(alice, file.id))[0].link.taken


async def test_a_download_is_counted_once(house: House, alice: Principal) -> None:
    """Once for each client, link and ten minutes; the owner's counters agree with the file's."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"12345"))
    for client, via in (("a", "/s"), ("a", "/s"), ("b", "/s"), ("a", "/v1"), ("b", "/s")):
        await house.serve.count_download(file, client, via=via, size=5)
    house.clock.advance(SAME_DOWNLOAD - TICK)
    await house.serve.count_download(file, "a", via="/s", size=5)
    assert 3 == (await house.serve.by_id(alice, file.id)).downloads

    house.clock.advance(TICK)
    await asyncio.gather(*(house.serve.count_download(file, "a", via="/s", size=5) for _ in range(5)))

    now, usage = await house.serve.by_id(alice, file.id), await house.usage()
    assert (4, 20, house.clock.now()) == (now.downloads, now.downloaded_bytes, now.last_read_at)
    assert (4, 20) == (usage.downloads, usage.downloaded_bytes)


async def test_a_signed_link_ends(house: House, alice: Principal) -> None:
    """It holds until its end, and can't be given another one."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"x"))
    shared = await house.files.share(alice, file.id, LinkWish(expires_at=house.clock.now() + HOUR))
    later = str(int((house.clock.now() + 2 * HOUR).timestamp()))

    assert (file, shared.link) == await house.serve.by_link(presented(shared))
    for wrong in (
        presented(shared, expires_text=later),
        presented(shared, signature="x" * 43),
        presented(shared, signature=None),
        presented(shared, expires_text=None),
        presented(shared, link_id="nothing"),
    ):
        with pytest.raises(Missing, match="This link doesn't exist, or is over"):
            await house.serve.by_link(wrong)
    house.clock.advance(HOUR)
    with pytest.raises(Missing):
        await house.serve.by_link(presented(shared))


async def test_a_link_can_ask_for_a_password(house: House, alice: Principal) -> None:
    """Without it, or with another, nothing is told of the file."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"x"))
    shared = await house.files.share(alice, file.id, LinkWish(password="öffne"))

    for given, code in ((None, "link_password_required"), ("offne", "link_password_wrong")):
        with pytest.raises(Unauthenticated) as raised:
            await house.serve.by_link(presented(shared, password=given))
        assert code == raised.value.stable_code
    assert file == (await house.serve.by_link(presented(shared, password="öffne")))[0]


async def test_a_link_ends_with_its_file(house: House) -> None:
    """Deleted, expired or revoked: the link is as one that never was."""
    who = user(retention=HOUR)
    gone, expired = [await house.door.accept(who, declared(), ScriptedBody(b"x")) for _ in range(2)]
    links = [await house.files.share(who, file.id, LinkWish()) for file in (gone, expired, expired)]
    await house.files.delete(who, gone.id)
    await house.files.unshare(who, expired.id, links[1].link.id)
    house.clock.advance(HOUR)

    for shared in links:
        with pytest.raises(Missing):
            await house.serve.by_link(presented(shared))


async def test_others_find_nothing(house: House, alice: Principal) -> None:
    """Threat 11: by every name and with every verb somebody else's file is as one that never was."""
    file = await house.door.accept(alice, declared(path="p", external_id="17"), ScriptedBody(b"x"))
    link = (await house.files.share(alice, file.id, LinkWish())).link
    bob = user("bob")
    one_file = Principal(alice.id, "alice", Kind.JWT, alice.plan, external_file_id="18")
    for who in (bob, one_file):
        for use in (
            house.serve.by_id(who, file.id),
            house.serve.by_path(who, "p"),
            house.serve.by_external_id(who, "17"),
            house.files.rename(who, file.id, "new"),
            house.files.set_expiry(who, file.id, None),
            house.files.share(who, file.id, LinkWish()),
            house.files.links(who, file.id),
            house.files.unshare(who, file.id, link.id),
            house.files.delete(who, file.id),
            house.files.delete_by_short_id(who, file.short_id),
            house.files.delete_by_path(who, "p"),
            house.files.delete_by_external_id(who, "17"),
        ):
            with pytest.raises(Missing):
                await use
        assert ([], 0) == (await house.serve.find(who, FileQuery()), await house.serve.count(who, FileQuery()))
        assert [] == await house.serve.find(who, FileQuery(owner=alice.id, external_id="17", file_id=file.id))
        assert 0 == await house.files.delete_all(who)
    assert file == await house.serve.by_id(alice, file.id)


async def test_scopes_are_asked_for(house: House, alice: Principal) -> None:
    """Reading, writing and deleting are three rights."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"x"))

    def only(scope: Scope) -> Principal:
        return Principal(alice.id, "alice", Kind.JWT, alice.plan, frozenset({scope}))

    for use in (
        house.serve.by_id(only(Scope.WRITE), file.id),
        house.serve.find(only(Scope.DELETE), FileQuery()),
        house.files.rename(only(Scope.READ), file.id, "x"),
        house.files.delete(only(Scope.WRITE), file.id),
        house.files.delete_all(only(Scope.READ)),
    ):
        with pytest.raises(Exception, match="may not"):
            await use


async def test_the_administrator_finds_everything(house: House, alice: Principal) -> None:
    """Everybody's, or one owner's."""
    files = [await house.door.accept(who, declared(), ScriptedBody(b"x")) for who in (alice, user("bob"))]

    assert {file.id for file in files} == {file.id for file in await house.serve.find(ADMIN, FileQuery())}
    assert [files[1]] == await house.serve.find(ADMIN, FileQuery(owner="jwt:bob"))
    await house.files.delete(ADMIN, files[1].id)
    assert 0 == (await house.usage("jwt:bob")).stored_bytes


async def test_deleting_everything_goes_by_pages(house: House, alice: Principal) -> None:
    """All of one owner's files go, and nobody else's; idle ones alone where that was asked for."""
    other = await house.door.accept(user("bob"), declared(), ScriptedBody(b"x"))
    old = await house.door.accept(alice, declared(), ScriptedBody(b"x"))
    house.clock.advance(timedelta(days=91))
    for _ in range(5):
        await house.door.accept(alice, declared(), ScriptedBody(b"x"))

    assert 1 == await house.files.delete_all(alice, only_idle=True)
    with pytest.raises(Missing):
        await house.serve.by_id(alice, old.id)
    assert 5 == await house.files.delete_all(alice)
    assert [other] == await house.all_files()
    assert 7 - 1 == await house.run_jobs("erase")


async def test_a_file_that_cant_be_read_now(house: House, alice: Principal) -> None:
    """Its bytes are gone from the disk: the answer is the store's fault, and can be tried again."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"x"))
    (stored,) = house.folder.glob("files/*/*")
    moved = stored.rename(house.folder / "moved")
    with pytest.raises(StoreError) as raised:
        await house.content(file)
    assert ("file_unreadable", True) == (raised.value.stable_code, raised.value.retryable)
    moved.rename(stored)
    await house.scrub.turn()
    assert b"x" == await house.content(file)


async def test_what_lies_in_the_past_is_refused(house: House, alice: Principal) -> None:
    """An end that is over is a mistake, and an empty name none."""
    file = await house.door.accept(alice, declared(), ScriptedBody(b"x"))
    for use in (
        house.files.share(alice, file.id, LinkWish(expires_at=house.clock.now())),
        house.files.set_expiry(alice, file.id, house.clock.now()),
        house.files.rename(alice, file.id, ""),
    ):
        with pytest.raises(Malformed):
            await use
    assert "new" == (await house.files.rename(alice, file.id, "new")).name
