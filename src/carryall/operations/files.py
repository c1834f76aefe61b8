"""What owners do with their files: rename, keep longer, share, delete."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from carryall.model.errors import Malformed, Missing
from carryall.model.file import File, Link
from carryall.model.principal import Principal, Scope
from carryall.operations.admit import check_extension
from carryall.operations.announce import Announce
from carryall.operations.erase import remove_file
from carryall.operations.serve import LINK_PURPOSE, Serve, narrowed_to
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.catalog_files import FileQuery

_PAGE = 200
IDLE_FOR = timedelta(days=90)  # blobs: "files not accessed for 90 days"


@dataclass(frozen=True, slots=True)
class Shared:
    """A link and the signature that its URL carries; None for a link that stays."""

    link: Link
    signature: str | None


@dataclass(frozen=True, slots=True)
class LinkWish:
    """What a new link is asked to be. `expires_at` must lie ahead; `max_downloads` is at least 1."""

    expires_at: datetime | None = None
    max_downloads: int | None = None
    password: str | None = None


class Files:
    """Changes files and their links."""

    def __init__(self, world: World, serve: Serve, announce: Announce) -> None:
        self._catalog = world.catalog
        self._serve = serve
        self._secrets = world.secrets
        self._announce = announce
        self._clock = world.clock
        self._ids = world.ids

    async def rename(self, principal: Principal, file_id: str, name: str) -> File:
        """Give a file another name. Its unique name under /v1/by-name/, if it has one, stays."""
        if not name:
            raise Malformed("A name has at least one character.", code="name_empty")
        principal.require(Scope.WRITE)
        check_extension(principal.plan.extensions, name)
        await self._serve.by_id(principal, file_id)
        await self._catalog.write(lambda tx: tx.files.rename(file_id, name))
        return await self._serve.by_id(principal, file_id)

    async def set_expiry(self, principal: Principal, file_id: str, expires_at: datetime | None) -> File:
        """Say when a file goes, whatever is downloaded until then; None keeps it as long as the plan keeps files.

        Raises Malformed for a time that has passed, or that lies further ahead than the plan's retention.
        """
        principal.require(Scope.WRITE)
        retention, now = principal.plan.retention, self._clock.now()
        latest = now + retention if retention is not None else None
        if expires_at is not None and expires_at <= now:
            raise Malformed("The expiry lies in the past. To remove a file now, delete it.", code="expiry_past")
        if expires_at is not None and latest is not None and expires_at > latest:
            raise Malformed(f"Your plan keeps files until {latest:%Y-%m-%d %H:%M} UTC at most.", code="expiry_too_late")
        await self._serve.by_id(principal, file_id)
        until, sliding = (latest, retention) if expires_at is None else (expires_at, None)
        await self._catalog.write(lambda tx: tx.files.set_expiry(file_id, until, sliding))
        return await self._serve.by_id(principal, file_id)

    async def delete(self, principal: Principal, file_id: str) -> File:
        """Delete a file: gone for readers when this returns, its bytes right after. Raises Missing."""
        principal.require(Scope.DELETE)
        return await self._delete(principal, lambda tx: tx.files.get(file_id))

    async def delete_by_short_id(self, principal: Principal, short_id: str) -> File:
        """Delete a file by its short id."""
        principal.require(Scope.DELETE)
        return await self._delete(principal, lambda tx: tx.files.by_short_id(short_id))

    async def delete_by_path(self, principal: Principal, path: str) -> File:
        """Delete a file by its unique name."""
        principal.require(Scope.DELETE)
        return await self._delete(principal, lambda tx: tx.files.by_path(principal.id, path))

    async def delete_by_external_id(self, principal: Principal, external_id: str) -> File:
        """Delete a file by the id that another service gave it."""
        principal.require(Scope.DELETE)
        return await self._delete(principal, lambda tx: tx.files.by_external_id(principal.id, external_id))

    async def delete_all(self, principal: Principal, *, only_idle: bool = False) -> int:
        """Delete all files of the principal's, or those that nobody fetched for 90 days; give how many went."""
        principal.require(Scope.DELETE)
        idle_since = self._clock.now() - IDLE_FOR if only_idle else None
        query = narrowed_to(principal, FileQuery(owner=principal.id, idle_since=idle_since, limit=_PAGE))
        return await self.delete_found(query, why="deleted")

    async def delete_found(self, query: FileQuery, *, why: str) -> int:
        """Delete every file that fits, a page per transaction; give how many went."""
        gone = 0

        def work(tx: Tx) -> int:
            found = tx.files.find(query)
            for file in found:
                self._remove(tx, file, why)
            return len(found)

        while number := await self._catalog.write(work):
            gone += number
            self._announce.wake()
        return gone

    async def _delete(self, principal: Principal, find: Callable[[Tx], File | None]) -> File:
        def work(tx: Tx) -> File:
            file = find(tx)
            if file is None or not principal.sees(file.owner, file_id=file.id, external_id=file.external_id):
                raise Missing("File not found", code="file_not_found")
            self._remove(tx, file, "deleted")
            return file

        file = await self._catalog.write(work)
        self._announce.wake()
        return file

    def _remove(self, tx: Tx, file: File, why: str) -> None:
        remove_file(tx, file, now=self._clock.now(), ids=self._ids, announce=self._announce, why=why)

    async def share(self, principal: Principal, file_id: str, wish: LinkWish) -> Shared:
        """Make a link to a file. One with an end is signed, so that its end can't be changed by who holds it."""
        principal.require(Scope.WRITE)
        now = self._clock.now()
        if wish.expires_at is not None and wish.expires_at <= now:
            raise Malformed("The link's end lies in the past.", code="expiry_past")
        file = await self._serve.by_id(principal, file_id)
        hashed = await self._secrets.hash_password(wish.password) if wish.password else None
        link = Link(
            id=self._ids.long(),
            file_id=file.id,
            owner=file.owner,
            created_at=now,
            expires_at=wish.expires_at.replace(microsecond=0) if wish.expires_at else None,
            max_downloads=wish.max_downloads,
            password_hash=hashed,
        )
        await self._catalog.write(lambda tx: tx.links.add(link))
        return Shared(link, self._signature(link))

    async def links(self, principal: Principal, file_id: str) -> list[Shared]:
        """Give a file's links, newest first."""
        await self._serve.by_id(principal, file_id)
        found = await self._catalog.read(lambda tx: tx.links.of_file(file_id))
        return [Shared(link, self._signature(link)) for link in found]

    async def unshare(self, principal: Principal, file_id: str, link_id: str) -> None:
        """Revoke a link at once. Raises Missing."""
        principal.require(Scope.WRITE)
        await self._serve.by_id(principal, file_id)

        def work(tx: Tx) -> None:
            link = tx.links.get(link_id)
            if link is None or link.file_id != file_id:
                raise Missing("No such link.", code="link_not_found")
            tx.links.remove(link_id)

        await self._catalog.write(work)

    def _signature(self, link: Link) -> str | None:
        return self._secrets.sign(LINK_PURPOSE, link.id, link.expires_at) if link.expires_at else None
