"""What every catalog must remember of users, tokens, plans, usage and links; part of CatalogContract."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from carryall.model.account import Token, Usage, User
from carryall.model.file import Link
from carryall.model.principal import Plan, Scope
from carryall.model.upload import State
from carryall.ports.catalog import Catalog, Tx
from carryall.testing.catalog_files_contract import HOUR, a_file, add_all, add_files, numbered
from carryall.testing.catalog_uploads_contract import an_upload
from carryall.testing.fakes import MORNING


class UserRules:
    """What is remembered of users, tokens and plans."""

    async def test_users_come_back_as_they_were(self, catalog: Catalog) -> None:
        """Users by name; their plan and whether they are disabled can change."""
        bob, alice = User("bob@example.org", MORNING, plan="big", is_disabled=True), User("alice", MORNING)
        await add_all(catalog, lambda tx: tx.users.add, bob, alice)

        assert [alice, bob] == list(await catalog.read(lambda tx: tx.users.all()))
        changed = replace(alice, plan="big", is_disabled=True)
        await catalog.write(lambda tx: tx.users.save(changed))
        assert changed == await catalog.read(lambda tx: tx.users.get("alice"))
        assert bob == await catalog.read(lambda tx: tx.users.get("bob@example.org"))

    async def test_tokens_come_back_as_they_were(self, catalog: Catalog) -> None:
        """Tokens by id, by digest and by user, newest first; removing a user removes theirs."""
        full = Token(
            id="one",
            digest="d1",
            user="alice",
            label="läbel",
            created_at=MORNING,
            scopes=frozenset({Scope.READ, Scope.ADMIN}),
            file_id="f",
            expires_at=MORNING + HOUR,
            is_primary=True,
        )
        newer = Token("two", "d2", "alice", "", MORNING + HOUR, scopes=frozenset())
        admins = Token("three", "d3", None, "", MORNING)
        await catalog.write(lambda tx: tx.users.add(User("alice", MORNING)))
        await add_all(catalog, lambda tx: tx.tokens.add, full, newer, admins)

        assert full == await catalog.read(lambda tx: tx.tokens.get("one"))
        assert newer == await catalog.read(lambda tx: tx.tokens.by_digest("d2"))
        assert [newer, full] == list(await catalog.read(lambda tx: tx.tokens.of_user("alice")))
        assert [admins] == list(await catalog.read(lambda tx: tx.tokens.of_user(None)))

        await catalog.write(lambda tx: tx.users.remove("alice"))
        assert [None, None, admins] == await catalog.read(
            lambda tx: [tx.users.get("alice"), tx.tokens.get("one"), tx.tokens.get("three")]
        )

    async def test_tokens_are_revoked_once(self, catalog: Catalog) -> None:
        """Revoking keeps the first time; the primary token of one user is revoked without its siblings."""
        tokens = [
            Token("old", "d1", "alice", "", MORNING, is_primary=True, revoked_at=MORNING),
            Token("primary", "d2", "alice", "", MORNING, is_primary=True),
            Token("script", "d3", "alice", "", MORNING),
            Token("bobs", "d4", "bob", "", MORNING, is_primary=True),
        ]
        await add_all(catalog, lambda tx: tx.users.add, User("alice", MORNING), User("bob", MORNING))
        await add_all(catalog, lambda tx: tx.tokens.add, *tokens)

        assert 1 == await catalog.write(lambda tx: tx.tokens.revoke_primary("alice", MORNING + HOUR))
        assert 0 == await catalog.write(lambda tx: tx.tokens.revoke_primary("alice", MORNING + 2 * HOUR))
        await catalog.write(lambda tx: tx.tokens.revoke("old", MORNING + 2 * HOUR))

        now = await catalog.read(lambda tx: [tx.tokens.get(token.id) for token in tokens])
        assert [MORNING, MORNING + HOUR, None, None] == [token and token.revoked_at for token in now]

    async def test_plans_come_back_as_they_were(self, catalog: Catalog) -> None:
        """Plans by name, written anew as a whole."""
        big = Plan("big", 1 << 62, 0, 5, 7, timedelta(days=3), frozenset({"png", "jpg"}))
        bare = Plan("a bare one", max_open_uploads=None, extensions=frozenset())
        await add_all(catalog, lambda tx: tx.plans.put, Plan("big", 1), bare, big)

        assert [bare, big] == list(await catalog.read(lambda tx: tx.plans.all()))
        await catalog.write(lambda tx: tx.plans.remove("big"))
        assert [None, bare] == await catalog.read(lambda tx: [tx.plans.get("big"), tx.plans.get("a bare one")])


class UsageRules:
    """What is counted of owners."""

    async def test_reserving_never_passes_the_total(self, catalog: Catalog) -> None:
        """Of many who ask at once as many get room as there is, to the byte (threat 14)."""
        await catalog.write(lambda tx: tx.usages.file_added("alice", 25, MORNING))
        asking = (catalog.write(lambda tx: tx.usages.reserve("alice", 10, total_bytes=100)) for _ in range(50))

        answers = await asyncio.gather(*asking)

        assert 7 == sum(answers)
        assert 70 == (await catalog.read(lambda tx: tx.usages.get("alice"))).reserved_bytes
        assert await catalog.write(lambda tx: tx.usages.reserve("alice", 5, total_bytes=100))
        assert not await catalog.write(lambda tx: tx.usages.reserve("alice", 1, total_bytes=100))

    async def test_released_room_can_be_reserved(self, catalog: Catalog) -> None:
        """Room comes back, for its owner alone; without a total there is always room."""
        await catalog.write(lambda tx: tx.usages.reserve("alice", 100, total_bytes=100))
        await catalog.write(lambda tx: tx.usages.release("alice", 1))

        assert not await catalog.write(lambda tx: tx.usages.reserve("alice", 2, total_bytes=100))
        assert await catalog.write(lambda tx: tx.usages.reserve("alice", 1, total_bytes=100))
        assert await catalog.write(lambda tx: tx.usages.reserve("bob", 100, total_bytes=100))
        assert await catalog.write(lambda tx: tx.usages.reserve("bob", 1 << 60, total_bytes=None))

    async def test_open_uploads_are_bounded(self, catalog: Catalog) -> None:
        """Of many who open at once as many may as are allowed."""
        asking = (catalog.write(lambda tx: tx.usages.upload_opened("alice", at_most=3)) for _ in range(20))

        assert 3 == sum(await asyncio.gather(*asking))
        await catalog.write(lambda tx: tx.usages.upload_closed("alice"))
        assert await catalog.write(lambda tx: tx.usages.upload_opened("alice", at_most=3))
        assert await catalog.write(lambda tx: tx.usages.upload_opened("alice", at_most=None))

    async def test_no_update_is_lost(self, catalog: Catalog) -> None:
        """Files and downloads that are counted at once are all counted, for an owner whose first they are, too."""

        def work(tx: Tx) -> None:
            tx.usages.file_added("alice", 3, MORNING)
            tx.usages.file_added("alice", 4, MORNING)
            tx.usages.file_removed("alice", 3)
            tx.usages.count_download("alice", 2, MORNING + HOUR)

        await asyncio.gather(*(catalog.write(work) for _ in range(25)))

        assert Usage(
            owner="alice",
            stored_bytes=100,
            files=25,
            uploads=50,
            uploaded_bytes=175,
            downloads=25,
            downloaded_bytes=50,
            last_upload_at=MORNING,
            last_download_at=MORNING + HOUR,
        ) == await catalog.read(lambda tx: tx.usages.get("alice"))

    async def test_recounting_finds_what_is_off(self, catalog: Catalog) -> None:
        """Counters are compared with rows in both directions, and corrected without touching the totals."""
        await add_files(catalog, numbered(1, size=7), numbered(2, size=5), numbered(3, size=1, owner="bob"))
        await catalog.write(lambda tx: tx.uploads.add(an_upload(reserved_bytes=11)))
        await catalog.write(lambda tx: tx.uploads.add(an_upload(id="shut", reserved_bytes=0, state=State.SEALED)))
        await catalog.write(lambda tx: tx.usages.file_added("bob", 1, MORNING))
        await catalog.write(lambda tx: tx.usages.reserve("nobody", 9, total_bytes=None))

        found = list(await catalog.read(lambda tx: tx.usages.recount()))

        right = Usage("user:alice", stored_bytes=12, files=2, reserved_bytes=11, open_uploads=1)
        assert [(Usage("nobody", reserved_bytes=9), Usage("nobody")), (Usage("user:alice"), right)] == found
        await add_all(catalog, lambda tx: tx.usages.correct, *(usage for _, usage in found))
        assert [] == list(await catalog.read(lambda tx: tx.usages.recount()))
        assert right == await catalog.read(lambda tx: tx.usages.get("user:alice"))


class LinkRules:
    """What is remembered of links."""

    async def test_links_come_back_as_they_were(self, catalog: Catalog) -> None:
        """Links by id and by file, newest first, until they are revoked."""
        full = Link("one", "file", "user:alice", MORNING, MORNING + HOUR, 5, 2, "hash")
        newer = Link("two", "file", "user:alice", MORNING + HOUR)
        await add_files(catalog, a_file())
        await add_all(catalog, lambda tx: tx.links.add, full, newer)

        assert full == await catalog.read(lambda tx: tx.links.get("one"))
        assert [newer, full] == list(await catalog.read(lambda tx: tx.links.of_file("file")))
        await catalog.write(lambda tx: tx.grants.add("one", "client", MORNING))
        await catalog.write(lambda tx: tx.links.remove("one"))
        assert [newer] == list(await catalog.read(lambda tx: tx.links.of_file("file")))

    async def test_a_link_gives_as_many_downloads_as_it_has(self, catalog: Catalog) -> None:
        """Of many who take one at once as many get it as are left; without a limit everybody does."""
        await add_files(catalog, a_file())
        links = [Link("few", "file", "user:alice", MORNING, max_downloads=5, taken=2), Link("all", "file", "", MORNING)]
        await add_all(catalog, lambda tx: tx.links.add, *links)

        assert 3 == sum(await asyncio.gather(*(catalog.write(lambda tx: tx.links.take("few")) for _ in range(20))))
        assert 9 == sum(await asyncio.gather(*(catalog.write(lambda tx: tx.links.take("all")) for _ in range(9))))
        assert not await catalog.write(lambda tx: tx.links.take("none"))

    async def test_who_took_a_download_is_known(self, catalog: Catalog) -> None:
        """By link and client, at its last time, until it is forgotten."""
        await add_files(catalog, a_file())
        await add_all(catalog, lambda tx: tx.links.add, *(Link(name, "file", "", MORNING) for name in ("one", "two")))
        await catalog.write(lambda tx: tx.grants.add("one", "client", MORNING - HOUR))
        await catalog.write(lambda tx: tx.grants.add("one", "client", MORNING))
        await catalog.write(lambda tx: tx.grants.add("one", "old", MORNING - 2 * HOUR))

        def known(tx: Tx) -> list[bool]:
            asked = [("one", "client"), ("one", "old"), ("one", "other"), ("two", "client")]
            return [tx.grants.taken_since(*one, MORNING - 3 * HOUR) for one in asked]

        assert [True, True, False, False] == await catalog.read(known)
        assert not await catalog.read(lambda tx: tx.grants.taken_since("one", "client", MORNING))
        await catalog.write(lambda tx: tx.grants.forget(MORNING - HOUR))
        assert [True, False, False, False] == await catalog.read(known)
