"""`carryall files`, beside a running server."""

import json
from collections.abc import Callable
from typing import Any


def test_files_are_listed_by_owner_newest_first(place: Any, upload: Callable[..., Any]) -> None:
    """`ls` shows everybody's files or one owner's, as many as asked for, and says how many there are."""
    server = place.serve()
    token = place.result("users", "token", "al", "--add").strip()
    with server.client({"Authorization": f"Bearer {token}"}) as al, server.client(place.jwt("carol")) as carol:
        first, second = upload(al, "one.txt", b"1"), upload(al, "two.txt", b"22")
        other = upload(carol, "song.ogg", b"333")

    listed = place.run("files", "ls", "--limit", "2")
    own = json.loads(place.result("files", "ls", "--owner", "user:al", "--json"))

    assert [other["id"], second["id"]] == [line.split("\t")[0] for line in listed.stdout.splitlines()]
    assert "2 of 3 files. --limit shows more." in listed.stderr
    assert [(second["id"], 2), (first["id"], 1)] == [(file["id"], file["size"]) for file in own]
    assert {"name": "two.txt", "owner": "user:al", "sha256": second["sha256"]}.items() <= own[0].items()


def test_a_name_has_no_power_over_the_terminal(place: Any, upload: Callable[..., Any]) -> None:
    """Control characters in a client's file name are written out, on a terminal and elsewhere (threat 25)."""
    with place.serve().client(place.jwt("mallory")) as client:
        upload(client, "\x1b]0;owned\x07\tx.txt", b"x")

    line, terminal = place.result("files", "ls"), place.terminal("files", "ls")
    _, seen = terminal.end()

    assert r"\x1b]0;owned\x07\tx.txt" == line.split("\t")[1]
    assert "\x1b]0" not in seen
    assert "ID" in seen
    assert "NAME" in seen


def test_deleting_ends_reading(place: Any, upload: Callable[..., Any]) -> None:
    """`rm` asks, deletes those there are, and says in the end, with status 1, which weren't there."""
    with place.serve().client(place.jwt("carol")) as client:
        file = upload(client, "a.txt", b"bytes")
        path = f"/v1/files/{file['id']}/content"
        asked = place.run("files", "rm", file["id"], stdin="n\n")
        assert 200 == client.get(path).status_code
        done = place.run("files", "rm", "nothing", file["id"], "--yes")
        assert 404 == client.get(path).status_code

    assert (1, 1) == (asked.returncode, done.returncode)
    assert "Deleted: 1 file." in done.stderr
    assert "There is no file nothing." in done.stderr
