"""`carryall export`: the described tree, whatever the names are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from carryall.cli.export import part

HOSTILE = "../../../../pwned.txt"


def tree(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder, by its path there."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def exported(place: Any, upload: Callable[..., Any]) -> dict[str, bytes]:
    """Upload files as two users of the main service; give the tree that is expected."""
    server = place.serve()
    with server.client(place.jwt("..")) as carol, server.client(place.jwt("dave")) as dave:
        upload(carol, HOSTILE, b"one", main_service_file_id="7")
        upload(carol, "Gr\u00fc\u00dfe (1).txt", b"two", main_service_file_id="8")
        upload(carol, "without such an id.txt", b"not exported")
        upload(dave, "song.ogg", b"three", main_service_file_id="7")
    return {
        "final/%2E%2E/7/..%2F..%2F..%2F..%2Fpwned.txt": b"one",
        "final/%2E%2E/8/Gr\u00fc\u00dfe (1).txt": b"two",
        "final/dave/7/song.ogg": b"three",
    }


def test_the_described_tree_is_made(place: Any, exported: dict[str, bytes]) -> None:
    """Every file that the other service named is at final/USER/ID/NAME, with its bytes, and nothing is elsewhere."""
    done = place.run("export", "--layout", "chunks", "out")

    assert exported == tree(place.folder / "out")
    assert "out/final holds 3 files, 11 bytes." in done.stderr
    assert not list(place.folder.rglob("pwned.txt"))


def test_links_share_the_bytes(place: Any, exported: dict[str, bytes]) -> None:
    """With --link the tree is the same, and takes no room: each file has two names."""
    place.result("export", "--link", "out")

    assert exported == tree(place.folder / "out")
    assert {2} == {path.stat().st_nlink for path in (place.folder / "out").rglob("*") if path.is_file()}


def test_nothing_is_written_over(place: Any, exported: dict[str, bytes]) -> None:
    """A tree that is there already is left alone."""
    assert exported
    (place.folder / "out" / "final").mkdir(parents=True)
    done = place.run("export", "out")

    assert 1 == done.returncode
    assert "out/final is there already." in done.stderr
    assert {} == tree(place.folder / "out")


def test_damaged_bytes_are_not_exported(place: Any, exported: dict[str, bytes]) -> None:
    """A file whose bytes aren't the ones that were uploaded is named, with status 1; the others are there."""
    (damaged,) = [path for path in (place.data / "files").rglob("*") if path.is_file() and path.read_bytes() == b"two"]
    damaged.chmod(0o600)
    damaged.write_bytes(b"owt")

    done = place.run("export", "out")

    assert 1 == done.returncode
    assert "Not written, because their bytes are lost or damaged: " in done.stderr
    assert {b"one", b"three"} == set(tree(place.folder / "out").values()) == set(exported.values()) - {b"two"}


@given(st.text())
@example("..")
@example(".")
@example("")
@example("a" * 300 + ".tar.gz")
def test_a_part_stays_where_it_is(text: str) -> None:
    """Whatever a name is, it becomes one part of a path: printable, short enough, and neither `.` nor `..`."""
    made = part(text)

    assert (made,) == Path(made).parts
    assert made not in {"", ".", ".."}
    assert made.isprintable()
    assert len(made.encode()) <= 240


@given(st.text(max_size=400), st.text(max_size=400))
@example("a" * 300, "a" * 301)
@example("%2E", ".")
@example("", "%")
def test_parts_are_as_different_as_their_names(one: str, other: str) -> None:
    """Two names never become the same part."""
    assert (one == other) == (part(one) == part(other))


def test_plain_names_stay_and_endings_survive() -> None:
    """What every file system takes is kept as it is; a name that is cut keeps its ending."""
    assert "Grüße (1).tar.gz" == part("Grüße (1).tar.gz")
    assert ".env" == part(".env")
    assert part("名" * 200 + ".webp").endswith(".webp")
