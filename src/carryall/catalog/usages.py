"""Rows of usage: what each owner holds, reserves and has done. Each change is one statement."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Connection, bindparam, case, func, insert, or_, select, update

from carryall.catalog.tables import Time, files, uploads, usages
from carryall.model.account import Usage
from carryall.model.upload import State

_GET = select(usages).where(usages.c.owner == bindparam("owner"))
_ADD = insert(usages)
_MINE = usages.c.owner == bindparam("b_owner")
_SIZE: BindParameter[int] = bindparam("b_size")
_TOTAL = bindparam("b_total", type_=BigInteger)
_MOST = bindparam("b_most", type_=BigInteger)
_RESERVE = (
    update(usages)
    .where(
        _MINE,
        or_(
            _TOTAL.is_(None),
            usages.c.stored_bytes + usages.c.reserved_bytes + _SIZE <= _TOTAL,
        ),
    )
    .values(reserved_bytes=usages.c.reserved_bytes + _SIZE)
)
_RELEASE = update(usages).where(_MINE).values(reserved_bytes=usages.c.reserved_bytes - _SIZE)
_OPENED = (
    update(usages)
    .where(_MINE, or_(_MOST.is_(None), usages.c.open_uploads < _MOST))
    .values(open_uploads=usages.c.open_uploads + 1)
)
_CLOSED = update(usages).where(_MINE).values(open_uploads=usages.c.open_uploads - 1)
_ADDED = (
    update(usages)
    .where(_MINE)
    .values(
        stored_bytes=usages.c.stored_bytes + _SIZE,
        files=usages.c.files + 1,
        uploads=usages.c.uploads + 1,
        uploaded_bytes=usages.c.uploaded_bytes + _SIZE,
        last_upload_at=bindparam("b_now", type_=Time),
    )
)
_REMOVED = update(usages).where(_MINE).values(stored_bytes=usages.c.stored_bytes - _SIZE, files=usages.c.files - 1)
_DOWNLOADED = (
    update(usages)
    .where(_MINE)
    .values(
        downloads=usages.c.downloads + 1,
        downloaded_bytes=usages.c.downloaded_bytes + _SIZE,
        last_download_at=bindparam("b_now", type_=Time),
    )
)


class UsageRows:
    """Implements `ports.catalog_accounts.Usages`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, owner: str) -> Usage:
        """Give an owner's usage."""
        row = self._connection.execute(_GET, {"owner": owner}).mappings().first()
        return Usage(**row) if row else Usage(owner)

    def reserve(self, owner: str, size: int, *, total_bytes: int | None) -> bool:
        """Take room if it is there."""
        return self._change(_RESERVE, owner, b_size=size, b_total=total_bytes)

    def release(self, owner: str, size: int) -> None:
        """Give reserved room back."""
        if size:
            self._change(_RELEASE, owner, b_size=size)

    def upload_opened(self, owner: str, *, at_most: int | None) -> bool:
        """Count an open upload."""
        return self._change(_OPENED, owner, b_most=at_most)

    def upload_closed(self, owner: str) -> None:
        """Count an open upload less."""
        self._change(_CLOSED, owner)

    def file_added(self, owner: str, size: int, now: datetime) -> None:
        """Count a stored file."""
        self._change(_ADDED, owner, b_size=size, b_now=now)

    def file_removed(self, owner: str, size: int) -> None:
        """Count a stored file less."""
        self._change(_REMOVED, owner, b_size=size)

    def count_download(self, owner: str, size: int, now: datetime) -> None:
        """Count a download."""
        self._change(_DOWNLOADED, owner, b_size=size, b_now=now)

    def recount(self) -> Sequence[tuple[Usage, Usage]]:
        """Compare the counters with the rows that they count."""
        truth = self._truth()
        counted = {row["owner"]: Usage(**row) for row in self._connection.execute(select(usages)).mappings()}
        found = []
        for owner in sorted({*truth, *counted}):
            old = counted.get(owner, Usage(owner))
            size, number, reserved, opened = truth.get(owner, (0, 0, 0, 0))
            new = replace(old, stored_bytes=size, files=number, reserved_bytes=reserved, open_uploads=opened)
            if new != old:
                found.append((old, new))
        return found

    def correct(self, usage: Usage) -> None:
        """Write the four counters that can be recounted."""
        right = {
            "stored_bytes": usage.stored_bytes,
            "reserved_bytes": usage.reserved_bytes,
            "files": usage.files,
            "open_uploads": usage.open_uploads,
        }
        self._row(usage.owner)
        self._connection.execute(update(usages).where(usages.c.owner == usage.owner).values(right))

    def _truth(self) -> dict[str, tuple[int, int, int, int]]:
        stored = select(files.c.owner, func.sum(files.c.size), func.count()).group_by(files.c.owner)
        is_open = case((uploads.c.state == State.OPEN, 1), else_=0)
        pending = select(uploads.c.owner, func.sum(uploads.c.reserved_bytes), func.sum(is_open)).group_by(
            uploads.c.owner
        )
        found: dict[str, tuple[int, int, int, int]] = {}
        for owner, size, number in self._connection.execute(stored):
            found[owner] = (int(size), int(number), 0, 0)
        for owner, reserved, opened in self._connection.execute(pending):
            found[owner] = (*found.get(owner, (0, 0, 0, 0))[:2], int(reserved), int(opened))
        return found

    def _change(self, statement: Any, owner: str, **values: Any) -> bool:
        if self._connection.execute(statement, {"b_owner": owner, **values}).rowcount:
            return True
        # Either the owner's row isn't there yet, or the condition doesn't hold.
        return self._row(owner) and bool(self._connection.execute(statement, {"b_owner": owner, **values}).rowcount)

    def _row(self, owner: str) -> bool:
        if self._connection.execute(_GET, {"owner": owner}).first() is not None:
            return False
        self._connection.execute(_ADD, {"owner": owner})
        return True
