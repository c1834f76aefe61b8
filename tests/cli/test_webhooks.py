"""`carryall webhooks`: what the main service was told, and to tell it again."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Receiver(ThreadingHTTPServer):
    """The main service's end: answers 503 while it is `down`, else keeps what it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.is_down = True
        self.told: list[dict[str, Any]] = []


class _Hook(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self.server.is_down:
            self.server.told.append(body)
        self.send_response(503 if self.server.is_down else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_what_failed_is_shown_and_sent_again(place: Any, receiver: Receiver, upload: Callable[..., Any]) -> None:
    """A notification that failed is listed with its tries and its error; `replay` and a run of the jobs send it."""
    place.set(MAIN_SERVICE_WEBHOOK_URL=f"http://127.0.0.1:{receiver.server_address[1]}/hook")
    server = place.serve()
    with server.client(place.jwt("carol")) as client:
        file = upload(client, "song.ogg", b"sound")
    assert 0 == server.stop()
    place.result("work", "--once")

    (failing,) = json.loads(place.result("webhooks", "ls", "--json"))["notifications"]
    receiver.is_down = False
    place.result("webhooks", "replay", str(failing["event_id"]))
    place.result("work", "--once")
    listed = [line.split("\t") for line in place.result("webhooks", "ls").splitlines()]

    assert {"type": "file.stored", "subject": file["id"], "state": "queued"}.items() <= failing.items()
    assert failing["attempts"] >= 1
    assert "503" in failing["error"]
    assert failing["next_try_at"].endswith("Z")
    assert [file["id"]] == [told["data"]["file_id"] for told in receiver.told]
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
