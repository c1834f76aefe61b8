"""Rows of hits: who asked when, by the database's own clock."""

from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, or_, select, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement

from carryall.catalog.tables import Words, hits

_SECOND = 1_000_000  # times are kept in microseconds


class _Now(ColumnElement[int]):
    """The database's time when the statement runs, not when its transaction began: others may have written since."""

    type = BigInteger()
    inherit_cache = True


@compiles(_Now, "sqlite")
def _now_of_sqlite(_element: _Now, _compiler: SQLCompiler, **_: Any) -> str:
    return "(CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000)"  # it tells milliseconds


@compiles(_Now, "postgresql")
def _now_of_postgres(_element: _Now, _compiler: SQLCompiler, **_: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"


_AT = type_coerce(hits.c.at, BigInteger)
_FREE_AT = _AT + 60 * _SECOND
_MINE = hits.c.key == bindparam("b_key", type_=Words)
_FULL = (
    select(_FREE_AT - _Now())
    .where(_MINE, _Now() < _FREE_AT, _Now() >= _AT)
    .order_by(hits.c.at.desc())
    .offset(bindparam("b_others", type_=BigInteger))
    .limit(1)
)
_COUNTS_NO_MORE = or_(_Now() >= _FREE_AT, _Now() < _AT)
_FORGET_MINE = delete(hits).where(_MINE, _COUNTS_NO_MORE)
_FORGET = delete(hits).where(_COUNTS_NO_MORE)
_ADD = insert(hits).values(key=bindparam("b_key", type_=Words), at=_Now())


class HitRows:
    """Implements `ports.catalog_work.Hits`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seconds_full(self, key: str, per_minute: int) -> float | None:
        """Give how long it is full, None when it isn't."""
        left = self._connection.execute(_FULL, {"b_key": key, "b_others": per_minute - 1}).scalar()
        return None if left is None else int(left) / _SECOND

    def add(self, key: str) -> None:
        """Write a hit of this moment."""
        self._connection.execute(_FORGET_MINE, {"b_key": key})
        self._connection.execute(_ADD, {"b_key": key})

    def forget(self) -> int:
        """Remove what counts no more."""
        return self._connection.execute(_FORGET).rowcount
