"""Give files back: find them by every name they have, read them, count what was read."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from carryall.model.errors import Missing, Unauthenticated
from carryall.model.file import File, Link
from carryall.model.principal import Principal, Scope
from carryall.operations.reading import Reader
from carryall.operations.world import World
from carryall.ports.catalog import Tx
from carryall.ports.catalog_files import FileQuery
from carryall.ports.store import Reading, Store

LINK_PURPOSE = "link"
IMAGE_PURPOSE = "short"
SAME_DOWNLOAD = timedelta(minutes=10)  # docs/design/downloads.md: what counts as one download
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Presented:
    """What came with a link: the signature's end and text, and a password, where they were given."""

    link_id: str
    expires_text: str | None = None
    signature: str | None = None
    password: str | None = None


class Serve:
    """Finds and reads files."""

    def __init__(self, world: World, reader: Reader) -> None:
        self._catalog = world.catalog
        self._stores = world.stores
        self._reader = reader
        self._secrets = world.secrets
        self._telemetry = world.telemetry
        self._clock = world.clock
        self._counted: dict[tuple[str, str], float] = {}

    async def by_id(self, principal: Principal, file_id: str) -> File:
        """Give a file of the principal's. Raises Missing for all others alike."""
        return self._mine(principal, await self._catalog.read(lambda tx: tx.files.get(file_id)))

    async def by_path(self, principal: Principal, path: str) -> File:
        """Give the principal's file of this unique name."""
        return self._mine(principal, await self._catalog.read(lambda tx: tx.files.by_path(principal.id, path)))

    async def at_path(self, principal: Principal, path: str) -> File | None:
        """Give the file that a write to this unique name would meet, if there is one. Reading isn't asked for."""
        file = await self._catalog.read(lambda tx: tx.files.by_path(principal.id, path))
        return file if file is not None and self._is_there(principal, file) else None

    async def by_external_id(self, principal: Principal, external_id: str) -> File:
        """Give the principal's file with this id of another service's."""
        return self._mine(
            principal, await self._catalog.read(lambda tx: tx.files.by_external_id(principal.id, external_id))
        )

    def _mine(self, principal: Principal, file: File | None) -> File:
        principal.require(Scope.READ)
        if file is None or not self._is_there(principal, file):
            raise Missing("File not found", code="file_not_found")
        return file

    def _is_there(self, principal: Principal, file: File) -> bool:
        is_seen = principal.sees(file.owner, file_id=file.id, external_id=file.external_id)
        return is_seen and not file.is_over(self._clock.now())

    async def by_short_id(self, short_id: str) -> File:
        """Give the file of a short link, to whoever has the link."""
        return self._live(await self._catalog.read(lambda tx: tx.files.by_short_id(short_id)))

    async def by_public_name(self, name: str) -> File:
        """Give the file that the gallery shows under this name."""
        return self._live(await self._catalog.read(lambda tx: tx.files.by_public_name(name)))

    def _live(self, file: File | None) -> File:
        if file is None or file.is_over(self._clock.now()):
            raise Missing("File not found", code="file_not_found")
        return file

    async def by_link(self, presented: Presented) -> tuple[File, Link]:
        """Give the file of a link that holds: signed where it ends, not over, and with its password.

        Raises Missing, or Unauthenticated (`link_password_required`, `link_password_wrong`). Takes no download.
        """
        link, file = await self._catalog.read(lambda tx: self._linked(tx, presented.link_id))
        if link is None or file is None or not self._holds(link, presented):
            raise Missing("This link doesn't exist, or is over.", code="link_not_found")
        await self._check_password(link, presented.password)
        return self._live(file), link

    def _linked(self, tx: Tx, link_id: str) -> tuple[Link | None, File | None]:
        link = tx.links.get(link_id)
        return link, tx.files.get(link.file_id) if link else None

    def _holds(self, link: Link, presented: Presented) -> bool:
        if link.expires_at is None:
            return True
        if presented.signature is None or presented.expires_text != str(int(link.expires_at.timestamp())):
            return False
        is_ours = self._secrets.verify(LINK_PURPOSE, link.id, link.expires_at, presented.signature)
        return is_ours and link.expires_at > self._clock.now()

    async def _check_password(self, link: Link, password: str | None) -> None:
        if link.password_hash is None:
            return
        if password is None:
            raise Unauthenticated(
                "This link asks for a password: send it as HTTP Basic, with any user name.",
                code="link_password_required",
            )
        if not await self._secrets.check_password(password, link.password_hash):
            raise Unauthenticated("This is not the link's password.", code="link_password_wrong")

    async def take(self, link: Link, client: str) -> None:
        """Take one of a limited link's downloads for this client, before the first byte.

        Further requests of the same client within 10 minutes belong to the same download. Raises Missing when none
        is left.
        """
        if link.max_downloads is None:
            return
        now = self._clock.now()

        def work(tx: Tx) -> bool:
            if tx.grants.taken_since(link.id, client, now - SAME_DOWNLOAD):
                return True
            if not tx.links.take(link.id):
                return False
            tx.grants.add(link.id, client, now)
            return True

        if not await self._catalog.write(work):
            raise Missing("This link's downloads are used up.", code="link_used_up")

    async def read(self, file: File, start: int, stop: int) -> Reading:
        """Open the half-open range of a file's bytes in whichever store has them.

        Raises StoreError when no store can give them now (`file_unreadable`).
        """
        return await self._reader.open(file, start, stop)

    def address(self, file: File) -> str | None:
        """Give a file's public link at its provider, else its provider's own URL; None where it has neither."""
        return address_of(file, self._stores)

    async def count_download(self, file: File, client: str, *, via: str, size: int) -> None:
        """Count a download that was sent: once for one client and link within 10 minutes."""
        now = self._clock.now()
        if not self._is_new_download(f"{via}:{file.id}", client, now.timestamp()):
            return

        def work(tx: Tx) -> None:
            tx.files.count_download(file.id, size, now)
            tx.usages.count_download(file.owner, size, now)

        await self._catalog.write(work)

    def _is_new_download(self, link: str, client: str, now_s: float) -> bool:
        last_s = self._counted.pop((link, client), None)
        is_same = last_s is not None and now_s - last_s < SAME_DOWNLOAD.total_seconds()
        self._counted[link, client] = last_s if is_same and last_s is not None else now_s
        if len(self._counted) > _REMEMBERED:
            del self._counted[next(iter(self._counted))]  # the one that asked longest ago
        return not is_same

    def served(self, size: int) -> None:
        """Measure bytes that left."""
        self._telemetry.served(size)

    async def find(self, principal: Principal, query: FileQuery) -> list[File]:
        """Give the files that fit among those that the principal sees."""
        principal.require(Scope.READ)
        narrowed = replace(narrowed_to(principal, query), alive_at=self._clock.now())
        return list(await self._catalog.read(lambda tx: tx.files.find(narrowed)))

    async def count(self, principal: Principal, query: FileQuery) -> int:
        """Count the files that fit among those that the principal sees."""
        principal.require(Scope.READ)
        narrowed = replace(narrowed_to(principal, query), alive_at=self._clock.now())
        return await self._catalog.read(lambda tx: tx.files.count(narrowed))


def address_of(file: File, stores: Mapping[str, Store]) -> str | None:
    """Give a file's public link at its provider, else its provider's own URL; None where it has neither."""
    stored = [copy for copy in file.copies if copy.is_stored and copy.store in file.target.stores]
    links = [copy.link for copy in stored if copy.link]
    addresses = [stores[copy.store].address(copy.location) for copy in stored if copy.store in stores]
    return next((found for found in (*links, *addresses) if found), None)


def narrowed_to(principal: Principal, query: FileQuery) -> FileQuery:
    """Give the query within what the principal may see; an administrator may name any owner, or none."""
    if principal.is_admin:
        return query
    return replace(
        query,
        owner=principal.id,
        file_id=principal.file_id or query.file_id,
        external_id=principal.external_file_id or query.external_id,
    )
