"""`carryall doctor`: damage is status 1, leftovers are not."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def stored(place: Any, upload: Callable[..., Any]) -> Path:
    """Give the place of a stored file's bytes; the server that took it runs on."""
    with place.serve().client(place.jwt("carol")) as client:
        file = upload(client, "a.txt", b"some bytes")
    (path,) = [path for path in (place.data / "files").rglob("*") if path.is_file()]
    assert file["size"] == path.stat().st_size
    return path


def test_health_is_status_0(place: Any, stored: Path) -> None:
    """Where all is well nothing is found, beside the running server."""
    assert stored.exists()
    done = place.run("doctor")

    assert (0, "") == (done.returncode, done.stdout)
    assert "Nothing is wrong." in done.stderr


@pytest.mark.parametrize(("damage", "word"), [(b"some", "has 4 bytes"), (None, "is not in store local any more")])
def test_lost_bytes_are_wrong(place: Any, stored: Path, damage: bytes | None, word: str) -> None:
    """A row whose bytes are short or gone is damage: marked, with the file's id, and status 1."""
    stored.unlink()
    if damage is not None:
        stored.write_bytes(damage)

    done, described = place.run("doctor"), place.run("doctor", "--json")

    assert (1, 1) == (done.returncode, described.returncode)
    assert done.stdout.startswith("WRONG copy: File ")
    assert word in done.stdout
    assert "Wrong: 1 finding." in done.stderr
    assert [(True, "copy")] == [(one["is_wrong"], one["about"]) for one in json.loads(described.stdout)]


def test_leftovers_are_notes(place: Any, stored: Path) -> None:
    """Bytes that no row knows, stored or staged, are shown and not wrong: the sweep takes them."""
    stored.with_name("nobodys").write_bytes(b"12345")

    done = place.run("doctor")

    assert 0 == done.returncode
    assert "note copy: Store local holds 5 bytes under nobodys" in done.stdout


def test_lost_parts_of_an_upload_are_wrong(place: Any) -> None:
    """A part of an unfinished upload that is shorter on the disk than in the catalog is damage."""
    with place.serve().client(place.jwt("carol")) as client:
        begin = {"main_service_file_id": 7, "original_file_name": "song.ogg"}
        session = client.post("/upload/init", json=begin).json()["data"]["upload_session_id"]
        fields = {"upload_session_id": session, "chunk_index": "1"}
        assert 200 == client.post("/upload/chunk", data=fields, files={"chunk": b"sound"}).status_code
    assert 0 == place.run("doctor").returncode
    (staged,) = [path for path in (place.data / "staging").rglob("*") if path.is_file() and path.stat().st_size == 5]
    staged.write_bytes(b"sou")

    done = place.run("doctor")

    assert 1 == done.returncode
    assert "has 3 bytes of part 1 on the disk, and 5 in the catalog." in done.stdout


def test_counters_are_repaired(place: Any, stored: Path) -> None:
    """Wrong counters are damage; --repair corrects them, and says so."""
    assert stored.exists()
    with closing(sqlite3.connect(place.data / "catalog.db")) as catalog, catalog:
        catalog.execute("UPDATE usage SET stored_bytes = stored_bytes + 7")

    found, repaired, after = place.run("doctor"), place.run("doctor", "--repair"), place.run("doctor")

    assert [1, 0, 0] == [done.returncode for done in (found, repaired, after)]
    assert "WRONG usage: jwt:carol is counted with 17 bytes" in found.stdout
    assert "Corrected: the counters of 1 owner." in repaired.stderr
