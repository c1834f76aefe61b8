"""`carryall scrub`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def filled(place: Any, upload: Callable[..., Any]) -> Any:
    """Give a place whose server had two stores and four files, and has ended."""
    roots = {f"CARRYALL_STORE_{name.upper()}_ROOT": str(place.folder / name) for name in "bc"}
    place.set(CARRYALL_TARGET="b,c", CARRYALL_STORE_B_KIND="local", CARRYALL_STORE_C_KIND="local", **roots)
    server = place.serve()
    with server.client(place.jwt("carol")) as client:
        for number in range(4):
            upload(client, f"{number}.txt", bytes([number]) * 1000)
    assert 0 == server.stop()
    place.result("work", "--once")
    return place


def bytes_in(place: Any, store: str) -> list[Path]:
    """Give what lies in a store, by content."""
    files = [path for path in (place.folder / store).rglob("*") if path.is_file()]
    return sorted(files, key=lambda path: path.read_bytes())


def test_nothing_is_wrong(filled: Any) -> None:
    """It says how much it looked at, and ends with 0; for a store alone, it looks at that; one has to be there."""
    done, one = filled.run("scrub"), filled.run("scrub", "--store", "b", "--rate", "100")
    unknown = filled.run("scrub", "--store", "nowhere")

    assert (0, 0) == (done.returncode, one.returncode)
    assert "Looked at 8 stored, 7.8 KiB: nothing damaged.\n" == done.stdout
    assert "Looked at 4 stored, 3.9 KiB: nothing damaged.\n" == one.stdout
    assert (1, "") == (unknown.returncode, unknown.stdout)
    assert "There is no store nowhere in the settings. There are: local, b, c." in unknown.stderr


def test_damage_is_told_healed_and_gone(filled: Any) -> None:
    """A dry run only tells; then it is healed by the next work, and a second scrub finds nothing."""
    bytes_in(filled, "b")[0].write_bytes(b"X" * 1000)
    bytes_in(filled, "c")[1].unlink()

    dry, done = filled.run("scrub", "--dry-run"), filled.run("scrub")

    assert (0, 0) == (dry.returncode, done.returncode), done.stderr
    assert dry.stdout == done.stdout
    assert 2 == done.stdout.count("damaged ")
    assert "Another copy has the bytes." in done.stdout
    filled.result("work", "--once")
    assert "nothing damaged" in filled.result("scrub")
    assert [bytes([number]) * 1000 for number in range(4)] == [path.read_bytes() for path in bytes_in(filled, "b")]


def test_what_is_lost_makes_it_fail(filled: Any) -> None:
    """Where no copy has the bytes, the file is named, the status is 1, and the doctor knows."""
    for store in "bc":
        bytes_in(filled, store)[0].write_bytes(b"X" * 1000)

    done = filled.run("scrub")

    assert 1 == done.returncode
    assert "LOST " in done.stdout
    assert "Traceback" not in done.stderr
    filled.run("work", "--once")
    doctor = filled.run("doctor")
    assert 1 == doctor.returncode
    assert "is lost in store" in doctor.stdout
