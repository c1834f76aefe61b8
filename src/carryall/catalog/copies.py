"""Rows of copies, across files."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select

from carryall.catalog.files import files_found
from carryall.catalog.tables import copies, files
from carryall.model.file import CopyState, File
from carryall.ports.catalog_copies import Amount

_OF_FILE = copies.c.file_id == files.c.id
_LAST_READ = func.coalesce(files.c.last_read_at, files.c.created_at)
_IS_KEPT = copies.c.state.in_([CopyState.STORED.value, CopyState.GONE.value])
_IS_UNDER_WAY = or_(
    copies.c.state.in_([CopyState.QUEUED.value, CopyState.DELIVERING.value]),
    and_(copies.c.state == CopyState.FAILED.value, copies.c.next_try_at.is_not(None)),
)


class CopyRows:
    """Implements `ports.catalog_copies.Copies`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def in_store(self, store: str, *, after: str = "", limit: int) -> Sequence[File]:
        """Give files with a copy in a store."""
        return self._page(copies.c.store == store, copies.c.is_cache.is_(False), after=after, limit=limit)

    def unchecked(self, store: str, before: datetime, *, after: str = "", limit: int) -> Sequence[File]:
        """Give files whose copy in a store wasn't looked at since."""
        is_gone = copies.c.state == CopyState.GONE.value
        is_due = or_(copies.c.checked_at.is_(None), copies.c.checked_at < before, is_gone)
        return self._page(copies.c.store == store, _IS_KEPT, is_due, after=after, limit=limit)

    def under_way(self, *, after: str = "", limit: int) -> Sequence[File]:
        """Give files of which a copy is under way."""
        return self._page(_IS_UNDER_WAY, after=after, limit=limit)

    def _page(self, *which: ColumnElement[bool], after: str, limit: int) -> Sequence[File]:
        has_one = exists().where(_OF_FILE, *which)
        statement = select(files).where(has_one, files.c.id > after).order_by(files.c.id).limit(limit)
        return files_found(self._connection, statement)

    def cached(self, store: str, *, offset: int = 0, limit: int) -> Sequence[File]:
        """Give files that are only cached in a store."""
        since: Any = case((copies.c.stored_at > _LAST_READ, copies.c.stored_at), else_=_LAST_READ)
        which = (_OF_FILE, copies.c.store == store, copies.c.is_cache, copies.c.state == CopyState.STORED.value)
        statement = select(files).join(copies, and_(*which)).order_by(since, files.c.id)
        return files_found(self._connection, statement.offset(offset or None).limit(limit))

    def cached_bytes(self, store: str) -> int:
        """Sum up what is cached in a store."""
        which = (_OF_FILE, copies.c.store == store, copies.c.is_cache, or_(_IS_KEPT, _IS_UNDER_WAY))
        found = self._connection.execute(select(func.coalesce(func.sum(files.c.size), 0)).where(*which)).scalar_one()
        return int(found)

    def amounts(self) -> Mapping[str, Amount]:
        """Count copies by store."""
        statement = (
            select(copies.c.store, func.count(), func.sum(files.c.size))
            .where(_OF_FILE, copies.c.is_cache.is_(False))
            .group_by(copies.c.store)
        )
        return {store: Amount(int(n), int(size)) for store, n, size in self._connection.execute(statement)}
