"""`carryall deliveries`: what is on its way, what failed, and one more try."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest


def upload(client: httpx2.Client, name: str, target: str) -> str:
    """Upload a file; give its id."""
    answer = client.post("/v1/files", params={"name": name, "service": target}, content=b"hello")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def failed(place: Any) -> tuple[str, str]:
    """Two files whose delivery to the store "away" failed, as nobody listens there; carol's and dave's."""
    away = {"KIND": "s3", "BUCKET": "files", "ACCESS_KEY": "key", "SECRET_KEY": "secret-for-tests", "REGION": "eu"}
    away["ENDPOINT_URL"] = f"http://127.0.0.1:{place.free_port()}"
    place.set(**{f"CARRYALL_STORE_AWAY_{name}": value for name, value in away.items()})
    server = place.serve()
    with server.client(place.jwt("carol")) as carol, server.client(place.jwt("dave")) as dave:
        ids = upload(carol, "a.txt", "local,away"), upload(dave, "b.txt", "local,away")
    assert 0 == server.stop()
    place.result("work", "--once")
    return ids


def listed(place: Any, *options: str) -> list[dict[str, Any]]:
    """Give what `deliveries ls` lists."""
    found: list[dict[str, Any]] = json.loads(place.result("deliveries", "ls", "--json", *options))
    return found


def test_what_failed_is_listed_and_tried_again(place: Any, failed: tuple[str, str]) -> None:
    """Each delivery has its tries, its reason and its next try; `retry` queues it, and a run of the jobs tries it."""
    before = listed(place)
    table = [line.split("\t") for line in place.result("deliveries", "ls").splitlines()]
    one = place.run("deliveries", "retry", failed[0])
    queued = listed(place, "--state", "queued")
    everything = place.run("deliveries", "retry", "--all", "--store", "away")
    place.result("work", "--once")
    after = listed(place, "--state", "failed", "--store", "away")

    assert [failed[1], failed[0]] == [delivery["file_id"] for delivery in before]
    assert {("away", "failed", "store_unreachable")} == {(d["store"], d["state"], d["code"]) for d in before}
    assert all(delivery["next_try_at"].endswith("Z") and delivery["error"] for delivery in before)
    assert [(failed[1], "b.txt", "jwt:dave", "away"), (failed[0], "a.txt", "jwt:carol", "away")] == [
        (row[0], row[1], row[3], row[4]) for row in table
    ]
    assert [failed[0]] == [delivery["file_id"] for delivery in queued]
    assert (0, "1 delivery will be tried now.\n") == (one.returncode, one.stderr)
    assert (0, "1 delivery will be tried now.\n") == (everything.returncode, everything.stderr)
    assert {failed[0], failed[1]} == {delivery["file_id"] for delivery in after}
    assert [failed[0]] == [delivery["file_id"] for delivery in listed(place, "--owner", "jwt:carol")]
    assert 1 == len(listed(place, "--limit", "1"))
    assert "secret-for-tests" not in json.dumps(before) + place.log()


def test_nothing_to_do_is_said(place: Any, upload: Callable[..., Any]) -> None:
    """Where all is delivered both commands say so; what isn't there, or can't be meant, is refused in a sentence."""
    server = place.serve()
    with server.client(place.jwt("carol")) as carol:
        file = upload(carol, "a.txt", b"hello")
    assert 0 == server.stop()
    looked = place.run("deliveries", "ls")
    tried = place.run("deliveries", "retry", "--all")
    of_file = place.run("deliveries", "retry", file["id"])
    stored = place.run("deliveries", "retry", file["id"], "--store", "local")
    missing = place.run("deliveries", "retry", "nothing")
    both = place.run("deliveries", "retry", file["id"], "--all")
    neither = place.run("deliveries", "retry")

    assert (0, "", "Every file is where it is to be.\n") == (looked.returncode, looked.stdout, looked.stderr)
    assert ["There is nothing to try again.\n"] * 2 == [tried.stderr, of_file.stderr]
    assert (1, "The file is in local already.\n") == (stored.returncode, stored.stderr)
    assert (1, 2, 2) == (missing.returncode, both.returncode, neither.returncode)
    assert "name one file, or give --all" in both.stderr
