"""What owners see of deliveries, and how they have one tried once more."""

from dataclasses import replace

from carryall.model.errors import Conflict, Missing
from carryall.model.file import Copy, CopyState, File
from carryall.model.principal import Principal, Scope
from carryall.operations.deliver import Deliver
from carryall.operations.placing import Targets
from carryall.operations.serve import Serve
from carryall.operations.world import World
from carryall.ports.catalog_files import CopyQuery

UNFINISHED = (CopyState.QUEUED, CopyState.DELIVERING, CopyState.FAILED, CopyState.GONE)


class Deliveries:
    """Finds and repeats deliveries."""

    def __init__(self, world: World, targets: Targets, serve: Serve, deliver: Deliver) -> None:
        self._catalog = world.catalog
        self._targets = targets
        self._serve = serve
        self._deliver = deliver

    async def find(self, principal: Principal, query: CopyQuery) -> list[tuple[File, Copy]]:
        """Give the deliveries that fit among those of files that the principal sees."""
        principal.require(Scope.READ)
        if not principal.is_admin:
            scope, external = principal.file_id, principal.external_file_id
            query = replace(query, owner=principal.id, file_id=scope, external_id=external)
        return await self._page(query)

    async def retry(self, principal: Principal, file_id: str, store: str) -> Copy:
        """Try one delivery once more, now; one that is under way goes on as it is.

        Raises Missing for a file or a copy that isn't there, Conflict for one that is stored, and Malformed for a
        store that isn't in the settings any more.
        """
        principal.require(Scope.WRITE)
        copy = _copy_in(await self._serve.by_id(principal, file_id), store)
        if copy.is_stored:
            raise Conflict(f"The file is in {store} already.", code="copy_stored")
        self._targets.known(store)
        if copy.state is not CopyState.DELIVERING:
            await self._deliver.retry(file_id, [store])
        return _copy_in(await self._serve.by_id(principal, file_id), store)

    async def link(self, principal: Principal, file_id: str, store: str) -> Copy:
        """Make a stored copy public at its provider, and give it with the link.

        Raises Missing for a file or a copy that isn't there, Conflict for a copy that isn't stored yet
        (`copy_not_stored`), and for a store that has no public links (`store_has_no_links`).
        """
        principal.require(Scope.WRITE)
        copy = _copy_in(await self._serve.by_id(principal, file_id), store)
        self._targets.known(store)
        if not copy.is_stored:
            raise Conflict(f"The file isn't in {store} yet.", code="copy_not_stored")
        link = await self._targets.stores[store].link(copy.location)
        if link is None:
            raise Conflict(
                f"The store {store} has no public links. Make one here: /v1/files/{{id}}/links.",
                code="store_has_no_links",
            )
        linked = replace(copy, link=link)
        await self._catalog.write(lambda tx: tx.files.put_copy(file_id, linked))
        return linked

    async def retry_file(self, principal: Principal, file_id: str, store: str | None) -> int:
        """Try what isn't done of a file once more, or the one to a store; give how many there were."""
        file = await self._serve.by_id(principal, file_id)
        stores = [copy.store for copy in file.copies if not (copy.is_stored or copy.is_cache)]
        for name in stores if store is None else [store]:
            await self.retry(principal, file_id, name)
        return len(stores) if store is None else 1

    async def retry_failed(self, store: str | None) -> int:
        """Try every delivery that failed once more, now; give how many there were."""
        query, tried = CopyQuery((CopyState.FAILED, CopyState.GONE), store=store), 0
        while page := await self._page(query):
            for file, copy in page:
                if copy.store in self._targets.stores:
                    await self._deliver.retry(file.id, [copy.store])
                    tried += 1
            query = query.following(page[-1])
        return tried

    async def _page(self, query: CopyQuery) -> list[tuple[File, Copy]]:
        return list(await self._catalog.read(lambda tx: tx.files.deliveries(query)))


def _copy_in(file: File, store: str) -> Copy:
    copy = file.copy_in(store)
    if copy is None or copy.is_cache:
        raise Missing(
            f"This file isn't meant for {store}. It is for: {', '.join(file.target.stores)}.", code="copy_not_found"
        )
    return copy
