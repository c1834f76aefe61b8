"""`carryall stores evacuate`."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def filled(place: Any, upload: Callable[..., Any]) -> Any:
    """Give a place whose server had two stores and three files in one of them, and has ended."""
    roots = {f"CARRYALL_STORE_{name.upper()}_ROOT": str(place.folder / name) for name in "bc"}
    place.set(CARRYALL_TARGET="b", CARRYALL_STORE_B_KIND="local", CARRYALL_STORE_C_KIND="local", **roots)
    server = place.serve()
    with server.client(place.jwt("carol")) as client:
        for number in range(3):
            upload(client, f"{number}.txt", bytes([number]) * 1000)
    assert 0 == server.stop()
    return place


def lying(place: Any, store: str) -> int:
    """Count what lies in a store."""
    return sum(path.is_file() for path in (place.folder / store).rglob("*"))


def test_it_asks_and_says_what_it_would_do(filled: Any) -> None:
    """A dry run tells files, bytes and time; without a yes, or with stores that make no sense, nothing moves either."""
    dry = filled.run("stores", "evacuate", "b", "--to", "c", "--dry-run", "--rate", "0.01")
    asked = filled.run("stores", "evacuate", "b", "--to", "c", stdin="n\n")
    asks = (("b", "nowhere"), ("b", "b"), ("nowhere", "c"))
    refused = [filled.run("stores", "evacuate", source, "--to", to, "--yes") for source, to in asks]

    assert [0, 1, 1, 1, 1] == [done.returncode for done in (dry, asked, *refused)]
    assert "Store b has 3 files, 2.9 KiB." in dry.stderr
    assert "that takes less than a minute." in dry.stderr
    assert "Move them from b to c?" in asked.stderr
    assert "There is no store nowhere" in refused[0].stderr
    assert "into itself" in refused[1].stderr
    assert "no file is in one of that name" in refused[2].stderr
    assert (0, 3) == (lying(filled, "c"), lying(filled, "b"))


def test_it_moves_and_says_what_is_left_to_do(filled: Any) -> None:
    """Everything is in the other store, and who still sends files to the old one is told; once more finds nothing."""
    done = filled.run("stores", "evacuate", "b", "--to", "c", stdin="y\n")
    again = filled.run("stores", "evacuate", "b", "--to", "c", "--yes")

    assert (0, 0) == (done.returncode, again.returncode)
    assert (3, 3) == (lying(filled, "b"), lying(filled, "c"))
    assert "Moved 3 files, 2.9 KiB, to c." in done.stderr
    assert "Still going to b: CARRYALL_TARGET." in done.stderr
    assert "Store b has 0 files" in again.stderr
    assert "nothing damaged" in filled.result("scrub")


def test_a_person_sees_how_far_it_is(filled: Any) -> None:
    """On a terminal there is a bar."""
    filled.set(TERM="xterm", COLUMNS="100")
    terminal = filled.terminal("stores", "evacuate", "b", "--to", "c", "--yes")
    status, seen = terminal.end()

    assert 0 == status
    assert "b → c" in seen
    assert "2.9/2.9 KiB" in seen


def test_what_stays_is_listed(filled: Any) -> None:
    """A file that can't be moved is named with the reason, the others go, and the status is 1."""
    lost = next(path for path in (filled.folder / "b").rglob("*") if path.is_file())
    lost.unlink()

    done = filled.run("stores", "evacuate", "b", "--to", "c", "--yes")

    assert (1, 2) == (done.returncode, lying(filled, "c"))
    assert done.stdout.startswith("stayed ")
    assert "No store can give the file's bytes." in done.stdout
    assert "1 file stayed in b." in done.stderr
    assert "Traceback" not in done.stderr
