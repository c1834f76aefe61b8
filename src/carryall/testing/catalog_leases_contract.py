"""What every catalog must remember of leases; part of CatalogContract."""

from carryall.ports.catalog import Catalog
from carryall.ports.catalog_leases import Held, Holder


class LeaseRules:
    """What is remembered of who writes to which upload."""

    async def test_a_lease_has_one_holder(self, catalog: Catalog) -> None:
        """Who is in the way is told, and asked; other segments and other uploads are in nobody's way."""
        await catalog.write(lambda tx: tx.leases.beat("one"))
        assert [] == list(await catalog.write(lambda tx: tx.leases.take("up", 0, node="one")))
        for upload_id, segment in (("up", 1), ("other", None)):
            taken = await catalog.write(lambda tx, u=upload_id, s=segment: tx.leases.take(u, s, node="two"))  # type: ignore[misc]
            assert [] == list(taken)

        in_the_way = await catalog.write(lambda tx: tx.leases.take("up", 0, node="two"))

        assert [Holder("one", 1)] == list(in_the_way)
        assert [Held("up", 0, is_asked=True)] == list(await catalog.read(lambda tx: tx.leases.of("one")))
        assert {Holder("one", 1), Holder("two", None)} == set(await catalog.read(lambda tx: tx.leases.holders("up")))

    async def test_who_wants_the_whole_is_next(self, catalog: Catalog) -> None:
        """A newcomer for the whole upload has its place before the holders have left, and nobody gets in before it."""
        await catalog.write(lambda tx: tx.leases.take("up", 0, node="one"))
        assert [Holder("one", None)] == list(await catalog.write(lambda tx: tx.leases.take("up", None, node="two")))

        assert [Holder("two", None)] == list(await catalog.write(lambda tx: tx.leases.take("up", 5, node="three")))
        await catalog.write(lambda tx: tx.leases.give("up", 0, node="one"))
        assert [] == list(await catalog.write(lambda tx: tx.leases.take("up", None, node="two")))
        # It was asked while it waited, and still is.
        assert [Held("up", None, is_asked=True)] == list(await catalog.read(lambda tx: tx.leases.of("two")))

    async def test_only_its_holder_gives_it_back(self, catalog: Catalog) -> None:
        """Whoever was succeeded takes nothing from the successor."""
        await catalog.write(lambda tx: tx.leases.take("up", 3, node="dead"))
        assert [] == list(await catalog.write(lambda tx: tx.leases.take("up", None, node="new", over={"dead"})))
        await catalog.write(lambda tx: tx.leases.give("up", 3, node="dead"))
        await catalog.write(lambda tx: tx.leases.give("up", None, node="dead"))

        assert [Held("up", None, is_asked=False)] == list(await catalog.read(lambda tx: tx.leases.of("new")))
        assert [] == list(await catalog.read(lambda tx: tx.leases.of("dead")))

    async def test_nobody_is_in_its_own_way(self, catalog: Catalog) -> None:
        """A process sees to its own requests: what it has left of an earlier one doesn't stop it."""
        for segment in (0, 0, None, 0, None):
            taken = await catalog.write(lambda tx, s=segment: tx.leases.take("up", s, node="one"))  # type: ignore[misc]
            assert [] == list(taken)

    async def test_hearts_are_counted(self, catalog: Catalog) -> None:
        """Beats go up by one; who left isn't there any more, and what it holds is left over."""
        for node in ("one", "two", "one"):
            await catalog.write(lambda tx, n=node: tx.leases.beat(n))  # type: ignore[misc]
        assert {"one": 2, "two": 1} == dict(await catalog.read(lambda tx: tx.leases.beats()))
        await catalog.write(lambda tx: tx.leases.take("up", 0, node="two"))
        await catalog.write(lambda tx: tx.leases.take("up", 1, node="two"))
        await catalog.write(lambda tx: tx.leases.leave("two"))

        assert {"one": 2} == dict(await catalog.read(lambda tx: tx.leases.beats()))
        assert ["up"] == list(await catalog.read(lambda tx: tx.leases.left_over(["one"])))
        assert [] == list(await catalog.read(lambda tx: tx.leases.left_over(["one", "two"])))
