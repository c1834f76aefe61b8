"""Rows of requests that may be repeated."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Insert, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from carryall.catalog.tables import errands
from carryall.model.errand import Errand

# The one statement that isn't the same everywhere: of two rivals' rows one stays, and neither transaction fails.
_ADD: Mapping[str, Insert] = {
    "sqlite": sqlite.insert(errands).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(errands).on_conflict_do_nothing(),
}
_GET = select(errands).where(errands.c.owner == bindparam("owner"), errands.c.key == bindparam("key"))
_MINE = errands.c.id == bindparam("b_id")
_TAKE_OVER = update(errands).where(_MINE, errands.c.answer.is_(None)).values(id=bindparam("b_new_id"))
_UPLOADS = select(errands.c.uploads).where(errands.c.id == bindparam("id"), errands.c.answer.is_(None))
_NOTE = update(errands).where(_MINE).values(uploads=bindparam("b_uploads"))
_ANSWER = update(errands).where(_MINE, errands.c.answer.is_(None)).values(answer=bindparam("b_answer"))


class ErrandRows:
    """Implements `ports.catalog_errands.Errands`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, errand: Errand) -> bool:
        """Write a new errand, unless there is one."""
        statement = _ADD[self._connection.dialect.name]
        return self._connection.execute(statement, asdict(errand)).rowcount == 1

    def get(self, owner: str, key: str) -> Errand | None:
        """Give an errand."""
        row = self._connection.execute(_GET, {"owner": owner, "key": key}).mappings().first()
        if row is None:
            return None
        values: dict[str, Any] = {**row, "uploads": tuple(row["uploads"])}
        return Errand(**values)

    def take_over(self, old_id: str, new_id: str) -> bool:
        """Change whose errand it is."""
        return self._connection.execute(_TAKE_OVER, {"b_id": old_id, "b_new_id": new_id}).rowcount == 1

    def note_upload(self, errand_id: str, upload_id: str) -> bool:
        """Add to the uploads."""
        uploads = self._connection.execute(_UPLOADS, {"id": errand_id}).scalar_one_or_none()
        if uploads is None:
            return False
        return self._connection.execute(_NOTE, {"b_id": errand_id, "b_uploads": [*uploads, upload_id]}).rowcount == 1

    def answer(self, errand_id: str, text: str) -> bool:
        """Write the answer."""
        return self._connection.execute(_ANSWER, {"b_id": errand_id, "b_answer": text}).rowcount == 1

    def remove(self, owner: str, key: str) -> None:
        """Forget one."""
        self._connection.execute(delete(errands).where(errands.c.owner == owner, errands.c.key == key))

    def forget(self, now: datetime) -> None:
        """Forget those whose time is up."""
        self._connection.execute(delete(errands).where(errands.c.expires_at <= now))
