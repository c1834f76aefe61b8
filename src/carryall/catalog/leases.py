"""Rows of leases and of the processes that hold them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from carryall.catalog.tables import leases, nodes
from carryall.ports.catalog_leases import Held, Holder

_WHOLE = -1
_ADD = insert(leases)
_HOLDERS = (
    select(leases.c.segment, leases.c.node, leases.c.is_asked, nodes.c.beats)
    .outerjoin(nodes, nodes.c.id == leases.c.node)
    .where(leases.c.upload_id == bindparam("upload_id"))
)
_PLACE = (leases.c.upload_id == bindparam("b_upload_id"), leases.c.segment == bindparam("b_segment"))
_ASK = update(leases).where(*_PLACE).values(is_asked=True)
_DROP = delete(leases).where(*_PLACE)
_GIVE = delete(leases).where(*_PLACE, leases.c.node == bindparam("b_node"))
_OF = select(leases).where(leases.c.node == bindparam("node"))
_BEAT = update(nodes).where(nodes.c.id == bindparam("b_id")).values(beats=nodes.c.beats + 1)


class LeaseRows:
    """Implements `ports.catalog_leases.LeaseRecords`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, upload_id: str, segment: int | None, *, node: str, over: Collection[str] = ()) -> Sequence[Holder]:
        """Take a lease, or ask those who are in the way."""
        wanted = _WHOLE if segment is None else segment
        rows = self._connection.execute(_HOLDERS, {"upload_id": upload_id}).all()
        there = [row for row in rows if _WHOLE in (wanted, row.segment) or wanted == row.segment]
        others = [row for row in there if row.node != node and row.node not in over]
        mine: dict[str, Any] = {"upload_id": upload_id, "segment": wanted, "node": node, "is_asked": False}
        if others:
            for row in others:
                self._at(_ASK, upload_id, row.segment)
            if wanted == _WHOLE and all(row.segment != _WHOLE for row in there):
                self._connection.execute(_ADD, mine)
            return [Holder(row.node, row.beats) for row in others]
        for row in there:  # what is taken over, and the place that was kept in front
            if row.node != node or row.segment == wanted:
                mine["is_asked"] |= row.node == node and row.is_asked
                self._at(_DROP, upload_id, row.segment)
        self._connection.execute(_ADD, mine)
        return []

    def give(self, upload_id: str, segment: int | None, *, node: str) -> None:
        """Give a lease back."""
        self._at(_GIVE, upload_id, _WHOLE if segment is None else segment, b_node=node)

    def of(self, node: str) -> Sequence[Held]:
        """Give what a node holds."""
        rows = self._connection.execute(_OF, {"node": node}).all()
        return [Held(row.upload_id, None if row.segment == _WHOLE else row.segment, row.is_asked) for row in rows]

    def holders(self, upload_id: str) -> Sequence[Holder]:
        """Give who holds anything of an upload."""
        return [Holder(row.node, row.beats) for row in self._connection.execute(_HOLDERS, {"upload_id": upload_id})]

    def beat(self, node: str) -> None:
        """Say that a node is there."""
        if self._connection.execute(_BEAT, {"b_id": node}).rowcount == 0:
            self._connection.execute(insert(nodes), {"id": node, "beats": 1})

    def leave(self, node: str) -> None:
        """Say that a node is gone."""
        self._connection.execute(delete(nodes).where(nodes.c.id == node))

    def beats(self) -> Mapping[str, int]:
        """Give every node's beats."""
        return {row.id: row.beats for row in self._connection.execute(select(nodes))}

    def left_over(self, nodes: Collection[str]) -> Sequence[str]:
        """Give the uploads that others hold."""
        statement = select(leases.c.upload_id).where(leases.c.node.not_in(nodes)).distinct()
        return self._connection.execute(statement).scalars().all()

    def _at(self, statement: Any, upload_id: str, segment: int, **values: str) -> None:
        self._connection.execute(statement, {"b_upload_id": upload_id, "b_segment": segment, **values})
