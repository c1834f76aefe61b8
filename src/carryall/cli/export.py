"""`carryall export`: the files as a tree that another program can read."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carryall.cli.screen import count_text, lesson, say, size_text
from carryall.model.errors import CarryallError, Missing

if TYPE_CHECKING:
    from carryall.model.file import File
    from carryall.wiring import House

app = typer.Typer()

_JWT = "jwt:"
_PAGE = 500
_LONGEST_PART_BYTES = 240  # most file systems take 255; the rest is for those who add an ending
_NEVER_IN_NAMES = set('%/\\:*?"<>|')


class Layout(StrEnum):
    """How the tree looks."""

    CHUNKS = "chunks"


_ROOTS = {Layout.CHUNKS: "final"}  # decision 21


@app.command(
    epilog=lesson(
        "carryall export --layout chunks ./backup",
        "carryall export --layout chunks --link ./view",
        then="the tree is yours: Carryall doesn't look at it again.",
    )
)
def export(
    folder: Annotated[Path, typer.Argument(help="Where DIR/final is made; it must not be there yet.", metavar="DIR")],
    layout: Annotated[Layout, typer.Option(help="chunks: the files of chunk sessions.")] = Layout.CHUNKS,
    link: Annotated[
        bool, typer.Option("--link", help="Make hard links where possible. Changing a linked file damages Carryall's.")
    ] = False,
) -> None:
    """Write the files of another service's users as DIR/final/USER_ID/FILE_ID/FILENAME.

    Each copy is checked against the SHA-256 that its upload had. Characters that no file system takes are
    percent-encoded in names, and what is too long is cut, so nothing is ever written outside of DIR/final.
    """
    from carryall.cli.setup import in_house

    root = folder / _ROOTS[layout]
    exported, size, broken = in_house(lambda house: _write_tree(house, root, may_link=link))
    say(f"{root} holds {count_text(exported, 'file')}, {size_text(size)}.")
    if broken:
        raise CarryallError(
            f"Not written, because their bytes are lost or damaged: {', '.join(broken)}. `carryall doctor` says more.",
            code="file_damaged",
        )


async def _write_tree(house: "House", root: Path, *, may_link: bool) -> tuple[int, int, list[str]]:
    """Write every file; give how many there are, their bytes together, and the ids of those that can't be read."""
    try:
        await asyncio.to_thread(root.mkdir, mode=0o700, parents=True)
    except FileExistsError as error:
        raise CarryallError(f"{root} is there already. Name another folder, or remove it first.") from error
    written, size, broken = 0, 0, []
    async for file in _files(house):
        target = root / part(file.owner.removeprefix(_JWT)) / part(file.external_id or "") / part(file.name)
        await asyncio.to_thread(target.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        if (may_link and await _linked(house, file, target)) or await _copied(house, file, target):
            written, size = written + 1, size + file.size
        elif await _is_there(house, file):
            broken.append(file.id)
    return written, size, broken


async def _files(house: "House") -> AsyncIterator["File"]:
    from carryall.ports.catalog_files import FileQuery

    admin, query = house.context.authenticate.admin, FileQuery(has_external_id=True, sort="created", limit=_PAGE)
    while found := await house.context.serve.find(admin, query):
        for file in found:
            if file.owner.startswith(_JWT):
                yield file
        query = query.following(found[-1])


async def _is_there(house: "House", file: "File") -> bool:
    """Tell whether a file is still to be exported: beside a running server it may have been deleted meanwhile."""
    try:
        await house.context.serve.by_id(house.context.authenticate.admin, file.id)
    except Missing:
        return False
    return True


async def _linked(house: "House", file: "File", target: Path) -> bool:
    local = house.plugs.local
    copy = file.stored_copy(local.name)
    try:
        if copy is not None:
            await asyncio.to_thread(os.link, local.path(copy.location), target)
    except OSError:  # another file system, or one without hard links, or lost bytes: a copy tells which
        return False
    return copy is not None


async def _copied(house: "House", file: "File", target: Path) -> bool:
    """Copy the bytes, and tell whether they are the ones that were uploaded; nothing is left of others."""
    digest = hashlib.sha256()
    try:
        reading = await house.context.serve.read(file, 0, file.size)
        with await asyncio.to_thread(target.open, "xb") as copy:
            async with aclosing(reading):
                async for chunk in reading:
                    digest.update(chunk)
                    await asyncio.to_thread(copy.write, chunk)
    except CarryallError:
        is_whole = False
    else:
        is_whole = digest.hexdigest() == file.sha256
    if not is_whole:
        await asyncio.to_thread(target.unlink, missing_ok=True)
    return is_whole


def part(text: str) -> str:
    """Give a name that is one part of a path on any system, and a different one for every text.

    Percent-encodes separators, control characters, what Windows refuses, and names of dots only. What is longer than
    240 bytes is cut in the middle, where 16 digits of its SHA-256 keep it apart from others.
    """
    kept = "".join(c if c.isprintable() and c not in _NEVER_IN_NAMES else _encoded(c) for c in text)
    if not kept.strip("."):
        kept = kept.replace(".", "%2E") or "%"
    if len(kept.encode()) <= _LONGEST_PART_BYTES:
        return kept
    ending = Path(kept).suffix
    ending = ending if len(ending.encode()) <= 20 else ""
    mark = "~" + hashlib.sha256(text.encode()).hexdigest()[:16] + ending
    head = kept.encode()[: _LONGEST_PART_BYTES - len(mark.encode())].decode(errors="ignore")
    return head + mark


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
