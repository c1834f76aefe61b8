"""`carryall users`, beside a running server and without one."""

import json
from collections.abc import Callable
from typing import Any


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.strip()}"}


def test_a_token_works_until_the_next_one(place: Any) -> None:
    """`token` prints nothing but a token that works at once; the next one, by `token` or `rotate`, ends it at once."""
    server = place.serve()
    tokens = [place.result("users", *words) for words in (["token", "al", "--add"], ["token", "al"], ["rotate", "al"])]

    assert [1, 1, 1] == [len(token.splitlines()) for token in tokens]
    with server.client() as client:
        assert [401, 401, 200] == [client.get("/auth", headers=bearer(token)).status_code for token in tokens]


def test_only_known_allowed_or_added_names_get_one(place: Any) -> None:
    """An unknown name is refused with a hint; a name in ALLOWED_USERS needs none; `rotate` makes no user."""
    place.set(ALLOWED_USERS="ann@example.org")

    refused, allowed = place.run("users", "token", "bob"), place.run("users", "token", "ann@example.org")
    rotated = place.run("users", "rotate", "bob")

    assert [1, 0, 1] == [done.returncode for done in (refused, allowed, rotated)]
    assert "`carryall users token bob --add` makes one." in refused.stderr
    assert "" == refused.stdout == rotated.stdout
    assert ["ann@example.org"] == [user["name"] for user in json.loads(place.result("users", "ls", "--json"))]


def test_users_are_listed_with_what_they_hold(place: Any, upload: Callable[..., Any]) -> None:
    """`ls` shows plan, token, files and bytes; names that are allowed and unused are said beside it."""
    place.set(ALLOWED_USERS="zoe")
    place.result("users", "add", "eve")
    with place.serve().client(bearer(place.result("users", "token", "al", "--add"))) as client:
        upload(client, "a.txt", b"twelve bytes")

    listed = place.run("users", "ls")
    described = json.loads(place.result("users", "ls", "--json"))

    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert [["al", "user", "yes", "1", "12 bytes"], ["eve", "user", "none", "0", "0 bytes"]] == [
        row[:5] for row in rows
    ]
    assert [("al", 12), ("eve", 0)] == [(user["name"], user["stored_bytes"]) for user in described]
    assert "without a token so far: zoe." in listed.stderr


def test_a_name_is_added_once(place: Any) -> None:
    """A second `add`, an unknown plan and a name that can't be seen are refused in a sentence."""
    place.result("users", "add", "al")

    done = [place.run("users", "add", *words) for words in (["al"], ["bo", "--plan", "gold"], ["\x1b[2J"])]

    assert [1, 1, 1] == [one.returncode for one in done]
    for one, said in zip(
        done, ("There is a user al already", "There is no plan gold", "visible characters"), strict=True
    ):
        assert said in one.stderr
        assert "Traceback" not in one.stderr


def test_removing_takes_everything(place: Any, upload: Callable[..., Any]) -> None:
    """`rm` asks first; then the user, the tokens and the files are gone, at once for a running server."""
    server = place.serve()
    token = place.result("users", "token", "al", "--add")
    with server.client(bearer(token)) as client:
        upload(client, "a.txt", b"bytes")
        asked = place.run("users", "rm", "al", stdin="n\n")
        assert 200 == client.get("/auth").status_code
        removed = place.run("users", "rm", "al", "--yes")
        assert 401 == client.get("/auth").status_code

    assert (1, 0) == (asked.returncode, removed.returncode)
    assert "Remove al and their 1 file (5 bytes)?" in asked.stderr
    assert "[]" == place.result("files", "ls", "--json").strip()
    assert 1 == place.run("users", "rm", "al", "--yes").returncode


def test_looking_makes_nothing(place: Any) -> None:
    """A command that looks for data where there is none says so, and leaves no folder behind."""
    for words in (["users", "ls"], ["files", "ls"], ["webhooks", "ls"], ["doctor"], ["work"], ["export", "tree"]):
        done = place.run(*words)
        assert (1, "") == (done.returncode, done.stdout)
        assert "There is no Carryall data in" in done.stderr
    assert not place.data.exists()
