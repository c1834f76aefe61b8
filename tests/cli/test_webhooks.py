"""`carryall webhooks`: what the main service was told, and to tell it again."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.servers.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The main service's end."""
    with receiving() as made:
        yield made


def test_what_failed_is_shown_and_sent_again(place: Any, receiver: Receiver, upload: Callable[..., Any]) -> None:
    """A notification that failed is listed with its tries and its error; `replay` and a run of the jobs send it."""
    receiver.statuses = [503] * 100
    place.set(MAIN_SERVICE_WEBHOOK_URL=receiver.url)
    server = place.serve()
    with server.client(place.jwt("carol")) as client:
        file = upload(client, "song.ogg", b"sound")
    assert 0 == server.stop()
    place.result("work", "--once")

    (failing,) = json.loads(place.result("webhooks", "ls", "--json"))["notifications"]
    receiver.statuses.clear()
    refused = len(receiver.told)
    place.result("webhooks", "replay", str(failing["event_id"]))
    place.result("work", "--once")
    listed = [line.split("\t") for line in place.result("webhooks", "ls").splitlines()]

    assert {"type": "file.stored", "subject": file["id"], "state": "queued"}.items() <= failing.items()
    assert failing["attempts"] >= 1
    assert "503" in failing["error"]
    assert failing["next_try_at"].endswith("Z")
    assert [file["id"]] == [told.event["data"]["file_id"] for told in receiver.told[refused:]]
    assert {("notifications", "done"), ("notifications", "queued")} == {(row[0], row[4]) for row in listed[:2]}
    assert ["events", str(failing["event_id"]), "file.stored", file["id"], "jwt:carol"] in [row[:5] for row in listed]


def test_there_must_be_somebody_to_tell(place: Any) -> None:
    """Without an address, `replay` refuses in a sentence; with one, it knows no event that never was."""
    place.result("migrate")
    unset = place.run("webhooks", "replay", "1")
    place.set(CARRYALL_WEBHOOK_URL="http://127.0.0.1:9/hook")
    unknown = place.run("webhooks", "replay", "1")

    assert (1, 1) == (unset.returncode, unknown.returncode)
    assert "CARRYALL_WEBHOOK_URL is not set" in unset.stderr
    assert "There is no event 1." in unknown.stderr
    assert [] == json.loads(place.result("webhooks", "ls", "--state", "failed", "--json"))["notifications"]
