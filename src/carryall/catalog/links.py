"""Rows of links and of the downloads taken from them."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from carryall.catalog.tables import grants, links
from carryall.model.file import Link

_GET = select(links).where(links.c.id == bindparam("id"))
_TAKE = (
    update(links)
    .where(links.c.id == bindparam("b_id"), or_(links.c.max_downloads.is_(None), links.c.taken < links.c.max_downloads))
    .values(taken=links.c.taken + 1)
)


class LinkRows:
    """Implements `ports.catalog_accounts.Links`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, link: Link) -> None:
        """Write a new link."""
        self._connection.execute(insert(links), asdict(link))

    def get(self, link_id: str) -> Link | None:
        """Give a link."""
        row = self._connection.execute(_GET, {"id": link_id}).mappings().first()
        return Link(**row) if row else None

    def of_file(self, file_id: str) -> Sequence[Link]:
        """Give a file's links, newest first."""
        statement = select(links).where(links.c.file_id == file_id).order_by(links.c.created_at.desc(), links.c.id)
        return [Link(**row) for row in self._connection.execute(statement).mappings()]

    def take(self, link_id: str) -> bool:
        """Take one download, if one is left."""
        return self._connection.execute(_TAKE, {"b_id": link_id}).rowcount == 1

    def remove(self, link_id: str) -> None:
        """Revoke a link."""
        self._connection.execute(delete(grants).where(grants.c.link_id == link_id))
        self._connection.execute(delete(links).where(links.c.id == link_id))


class GrantRows:
    """Implements `ports.catalog_accounts.Grants`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def taken_since(self, link_id: str, client: str, since: datetime) -> bool:
        """Tell whether this client took a download since then."""
        statement = select(grants.c.client).where(
            grants.c.link_id == link_id, grants.c.client == client, grants.c.taken_at > since
        )
        return self._connection.execute(statement).first() is not None

    def add(self, link_id: str, client: str, now: datetime) -> None:
        """Write that this client took a download now."""
        mine = (grants.c.link_id == link_id) & (grants.c.client == client)
        self._connection.execute(delete(grants).where(mine))
        self._connection.execute(insert(grants), {"link_id": link_id, "client": client, "taken_at": now})

    def forget(self, before: datetime) -> None:
        """Remove what is older."""
        self._connection.execute(delete(grants).where(grants.c.taken_at < before))
