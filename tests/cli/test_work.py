"""`carryall work` and `carryall migrate`."""

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any


def test_deleted_bytes_are_erased_without_a_server(place: Any, upload: Callable[..., Any]) -> None:
    """After the server ended, `files rm` takes the row and `work --once` the bytes."""
    server = place.serve()
    with server.client(place.jwt("carol")) as client:
        file = upload(client, "a.txt", b"bytes")
    assert 0 == server.stop()
    place.result("files", "rm", file["id"], "--yes")

    def kept() -> list[bytes]:
        return [path.read_bytes() for path in (place.data / "files").rglob("*") if path.is_file()]

    before, done, after = kept(), place.run("work", "--once"), kept()

    assert ([b"bytes"], []) == (before, after)
    assert 0 == done.returncode
    assert " ran." in done.stderr


def test_it_works_until_it_is_told_to_stop(place: Any) -> None:
    """`work` goes on until Ctrl-C or SIGTERM, and ends with status 0."""
    place.result("migrate")
    for how in (signal.SIGTERM, signal.SIGINT):
        worker = place.terminal("work")
        worker.read_until("Running background jobs")
        worker.process.send_signal(how)
        status, seen = worker.end()
        assert (0, True) == (status, "Finishing what runs." in seen)


def test_migrating_goes_forward_only(place: Any) -> None:
    """`migrate` makes the catalog; one of a newer version, or no catalog at all, is refused in a sentence."""
    assert "The catalog has the tables of this version." in place.run("migrate").stderr
    with closing(sqlite3.connect(place.data / "catalog.db")) as catalog, catalog:
        catalog.execute("UPDATE alembic_version SET version_num = 'of the future'")
    newer = place.run("migrate")
    (place.data / "catalog.db").write_bytes(b"this is no catalog, but a letter\n" * 100)
    damaged = place.run("migrate")

    assert (1, 1) == (newer.returncode, damaged.returncode)
    assert "written by a newer version of Carryall" in newer.stderr
    assert "The catalog can't be opened" in damaged.stderr
    assert "Traceback" not in newer.stderr + damaged.stderr
