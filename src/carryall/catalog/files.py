"""Rows of files and their copies."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from carryall.catalog.tables import EPOCH, MICROSECOND, Time, Words, copies, files, links
from carryall.model.file import Copy, CopyState, File
from carryall.model.target import Target
from carryall.ports.catalog_files import CopyQuery, FileQuery

_ADD = insert(files)
_ADD_COPY = insert(copies)
_COPIES = select(copies).where(copies.c.file_id.in_(bindparam("ids", expanding=True))).order_by(copies.c.store)
_BY_ID = select(files).where(files.c.id == bindparam("value"))
_BY_SHORT = select(files).where(files.c.short_id == bindparam("value"))
_BY_PUBLIC = select(files).where(files.c.public_name == bindparam("value"))
_BY_UPLOAD = select(files).where(files.c.upload_id == bindparam("value"))
_BY_PATH = select(files).where(files.c.owner == bindparam("owner"), files.c.path == bindparam("value"))
_BY_EXTERNAL = select(files).where(files.c.owner == bindparam("owner"), files.c.external_id == bindparam("value"))
_EXPIRED = (
    select(files).where(files.c.expires_at <= bindparam("now")).order_by(files.c.expires_at).limit(bindparam("most"))
)
_HOLDS = (
    select(copies.c.file_id)
    .where(
        copies.c.store == bindparam("store"),
        or_(copies.c.key == bindparam("key"), copies.c.location == bindparam("key")),
    )
    .limit(1)
)
_COUNT_DOWNLOAD = (
    update(files)
    .where(files.c.id == bindparam("b_id"))
    .values(
        downloads=files.c.downloads + 1,
        downloaded_bytes=files.c.downloaded_bytes + bindparam("b_size"),
        last_read_at=bindparam("b_now", type_=Time),
        # retention is kept in seconds, times in microseconds
        expires_at=case(
            (files.c.retention.is_(None), files.c.expires_at),
            else_=bindparam("b_now2", type_=Time) + type_coerce(files.c.retention, BigInteger) * 1_000_000,
        ),
    )
)
_SORTS: dict[str, Any] = {"created": files.c.created_at, "name": files.c.name, "size": files.c.size}


class _Folded(FunctionElement[str]):
    """Lower-case text, in every alphabet where the database can."""

    type = Words()
    inherit_cache = True


@compiles(_Folded, "sqlite")
def _folded_by_sqlite(element: _Folded, compiler: SQLCompiler, **more: Any) -> str:
    return f"lower({compiler.process(element.clauses, **more)})"


@compiles(_Folded, "postgresql")
def _folded_by_postgres(element: _Folded, compiler: SQLCompiler, **more: Any) -> str:
    return f'(lower({compiler.process(element.clauses, **more)} COLLATE "carryall_folding") COLLATE "C")'


class FileRows:
    """Implements `ports.catalog_files.Files`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, file: File) -> None:
        """Write a new file with its copies."""
        values = {**asdict(file), "target": str(file.target)}
        del values["copies"]
        self._connection.execute(_ADD, values)
        for copy in file.copies:
            self._connection.execute(_ADD_COPY, _copy_values(file.id, copy))

    def get(self, file_id: str) -> File | None:
        """Give a file by its id."""
        return self._one(_BY_ID, value=file_id)

    def by_short_id(self, short_id: str) -> File | None:
        """Give a file by its short id."""
        return self._one(_BY_SHORT, value=short_id)

    def by_path(self, owner: str, path: str) -> File | None:
        """Give an owner's file by its unique name."""
        return self._one(_BY_PATH, owner=owner, value=path)

    def by_public_name(self, name: str) -> File | None:
        """Give the file that the gallery serves under this name."""
        return self._one(_BY_PUBLIC, value=name)

    def by_external_id(self, owner: str, external_id: str) -> File | None:
        """Give an owner's file by another service's id."""
        return self._one(_BY_EXTERNAL, owner=owner, value=external_id)

    def by_upload(self, upload_id: str) -> File | None:
        """Give the file that an upload became."""
        return self._one(_BY_UPLOAD, value=upload_id)

    def find(self, query: FileQuery) -> Sequence[File]:
        """Give the files that fit, in order."""
        column = _SORTS[query.sort.lstrip("-")]
        is_down = query.sort.startswith("-")
        statement = select(files).where(*_conditions(query))
        if query.after is not None:
            statement = statement.where(_beyond(column, query.after, is_down=is_down))
        order = (column.desc(), files.c.id.desc()) if is_down else (column, files.c.id)
        statement = statement.order_by(*order).offset(query.offset or None).limit(query.limit)
        return self._files(statement)

    def count(self, query: FileQuery) -> int:
        """Count the files that fit."""
        statement = select(func.count()).select_from(files).where(*_conditions(query))
        return int(self._connection.execute(statement).scalar_one())

    def deliveries(self, query: CopyQuery) -> Sequence[tuple[File, Copy]]:
        """Give the copies that fit, each with its file."""
        statement = (
            select(copies.c.file_id, copies.c.store)
            .join(files, files.c.id == copies.c.file_id)
            .where(*_copy_conditions(query))
            .order_by(files.c.created_at.desc(), files.c.id.desc(), copies.c.store)
            .limit(query.limit)
        )
        found = self._connection.execute(statement).all()
        by_id = {file.id: file for file in self._files(select(files).where(files.c.id.in_({row[0] for row in found})))}
        pairs = ((by_id[file_id], by_id[file_id].copy_in(store)) for file_id, store in found)
        return [(file, copy) for file, copy in pairs if copy is not None]

    def rename(self, file_id: str, name: str) -> None:
        """Set the name."""
        self._connection.execute(update(files).where(files.c.id == file_id).values(name=name))

    def set_expiry(self, file_id: str, expires_at: datetime | None, retention: timedelta | None) -> None:
        """Set when the file goes."""
        statement = update(files).where(files.c.id == file_id).values(expires_at=expires_at, retention=retention)
        self._connection.execute(statement)

    def count_download(self, file_id: str, size: int, now: datetime) -> None:
        """Count one download."""
        self._connection.execute(_COUNT_DOWNLOAD, {"b_id": file_id, "b_size": size, "b_now": now, "b_now2": now})

    def put_copy(self, file_id: str, copy: Copy) -> None:
        """Write one copy, new or again."""
        values = _copy_values(file_id, copy)
        here = and_(copies.c.file_id == file_id, copies.c.store == copy.store)
        if self._connection.execute(update(copies).where(here).values(values)).rowcount == 0:
            self._connection.execute(_ADD_COPY, values)

    def note_sent(self, file_id: str, store: str, sent_bytes: int) -> bool:
        """Write how far a delivery is."""
        here = and_(copies.c.file_id == file_id, copies.c.store == store, copies.c.state == CopyState.DELIVERING)
        return self._connection.execute(update(copies).where(here).values(sent_bytes=sent_bytes)).rowcount > 0

    def remove_copy(self, file_id: str, store: str) -> None:
        """Remove one copy's row."""
        self._connection.execute(delete(copies).where(copies.c.file_id == file_id, copies.c.store == store))

    def aim(self, file_id: str, target: Target) -> None:
        """Set where a file is to be."""
        self._connection.execute(update(files).where(files.c.id == file_id).values(target=str(target)))

    def with_content(self, owner: str, sha256: str, *, since: datetime) -> Sequence[File]:
        """Give an owner's files of this content."""
        same = (files.c.owner == owner, files.c.sha256 == sha256, files.c.created_at >= since)
        return self._files(select(files).where(*same).order_by(files.c.created_at.desc(), files.c.id))

    def remove(self, file_id: str) -> None:
        """Remove a file, its copies and its links."""
        for table in (copies, links):
            self._connection.execute(delete(table).where(table.c.file_id == file_id))
        self._connection.execute(delete(files).where(files.c.id == file_id))

    def expired(self, now: datetime, limit: int) -> Sequence[File]:
        """Give files whose time is up."""
        return self._files(_EXPIRED, {"now": now, "most": limit})

    def holds_key(self, store: str, key: str) -> bool:
        """Tell whether any file has a copy under this key."""
        return self._connection.execute(_HOLDS, {"store": store, "key": key}).first() is not None

    def _one(self, statement: Select[Any], **values: str) -> File | None:
        found = self._files(statement, values)
        return found[0] if found else None

    def _files(self, statement: Select[Any], values: dict[str, Any] | None = None) -> list[File]:
        rows = self._connection.execute(statement, values or {}).mappings().all()
        of_file = self._copies_of(row["id"] for row in rows)
        return [_file(row, of_file[row["id"]]) for row in rows]

    def _copies_of(self, ids: Iterable[str]) -> dict[str, list[Copy]]:
        found: dict[str, list[Copy]] = defaultdict(list)
        wanted = list(ids)
        if not wanted:
            return found
        for row in self._connection.execute(_COPIES, {"ids": wanted}).mappings():
            values = {name: value for name, value in row.items() if name != "file_id"}
            found[row["file_id"]].append(Copy(**{**values, "state": CopyState(row["state"])}))
        return found


def files_found(connection: Connection, statement: Select[Any]) -> list[File]:
    """Give the files that a statement over their table finds, with their copies, in its order."""
    return FileRows(connection)._files(statement)  # noqa: SLF001  # this module's own


def _file(row: RowMapping, of_file: Sequence[Copy]) -> File:
    values: dict[str, Any] = {**row, "target": Target.parse(row["target"])}
    return File(**values, copies=tuple(of_file))


def _copy_values(file_id: str, copy: Copy) -> dict[str, Any]:
    return {"file_id": file_id, **asdict(copy), "state": copy.state.value}


def _conditions(query: FileQuery) -> list[ColumnElement[bool]]:
    equal = {"owner": query.owner, "door": query.door, "external_id": query.external_id, "id": query.file_id}
    found: list[ColumnElement[bool]] = [files.c[n] == value for n, value in equal.items() if value is not None]
    if query.name_contains:
        found.append(_Folded(files.c.name).contains(query.name_contains.lower(), autoescape=True))
    if query.media_type and query.media_type.endswith("/"):
        found.append(files.c.media_type.startswith(query.media_type, autoescape=True))
    elif query.media_type:
        found.append(files.c.media_type == query.media_type)
    if query.path_prefix is not None:
        found.append(files.c.path.startswith(query.path_prefix, autoescape=True))
    if query.has_external_id:
        found.append(files.c.external_id.is_not(None))
    if query.created_from:
        found.append(files.c.created_at >= query.created_from)
    if query.created_before:
        found.append(files.c.created_at < query.created_before)
    if query.idle_since:
        found.append(func.coalesce(files.c.last_read_at, files.c.created_at) < query.idle_since)
    if query.alive_at:
        found.append(or_(files.c.expires_at.is_(None), files.c.expires_at > query.alive_at))
    return found


def _copy_conditions(query: CopyQuery) -> list[ColumnElement[bool]]:
    equal = {
        copies.c.store: query.store,
        files.c.owner: query.owner,
        files.c.id: query.file_id,
        files.c.external_id: query.external_id,
    }
    found: list[ColumnElement[bool]] = [copies.c.state.in_(query.states), copies.c.is_cache.is_(False)]
    found += [column == value for column, value in equal.items() if value is not None]
    if query.after is not None:
        at, file_id, store = query.after
        is_of_same = and_(files.c.created_at == EPOCH + MICROSECOND * at, files.c.id == file_id)
        after = _beyond(files.c.created_at, (at, file_id), is_down=True)
        found.append(or_(after, and_(is_of_same, copies.c.store > store)))
    return found


def _beyond(column: Any, after: tuple[str | int, str], *, is_down: bool) -> ColumnElement[bool]:
    value: Any = after[0]
    if column is files.c.created_at:
        value = EPOCH + MICROSECOND * int(value)
    if is_down:
        return or_(column < value, and_(column == value, files.c.id < after[1]))
    return or_(column > value, and_(column == value, files.c.id > after[1]))
