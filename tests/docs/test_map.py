"""docs/design/map.md answers "where is …?" for everything that is there (that its paths exist: tests/layout)."""

import re
from pathlib import Path

import pytest

NAMED = re.compile(r"`([\w.-]+(?:/[\w.-]*)*)(?:::(\w+))?`")
# Contracts are found by their room and migrations by theirs; the rest of these only begin something.
WITHOUT_A_LINE = re.compile(r"^ports/|/migrations/|(^|/)__\w+__\.py$")


@pytest.fixture(scope="session")
def named(documents: dict[str, str]) -> list[tuple[str, str]]:
    """Give what the map's tables name: paths, and with each the name in that file, or ""."""
    rows = [line for line in documents["docs/design/map.md"].splitlines() if line.startswith("|")]
    return [(path, name) for path, name in NAMED.findall("\n".join(rows))]


def test_names_on_the_map_are_in_their_files(named: list[tuple[str, str]], root: Path) -> None:
    """What stands behind :: is a class or a function of that file."""
    wanted = [(path, name) for path, name in named if name]
    package = root / "src" / "carryall"
    lost = [
        f"{path}::{name}"
        for path, name in wanted
        if not re.search(rf"^(class|def|async def) {name}\b", (package / path).read_text("utf-8"), re.MULTILINE)
    ]

    assert wanted
    assert [] == lost


def test_every_file_is_on_the_map(named: list[tuple[str, str]], root: Path) -> None:
    """Each file of the package has a line of its own, or lies in a folder that has one."""
    package = root / "src" / "carryall"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    lines = {path for path, _ in named}
    rooms = tuple(path for path in lines if path.endswith("/"))

    assert [] == sorted(
        file for file in files - lines if not file.startswith(rooms) and not WITHOUT_A_LINE.search(file)
    )
