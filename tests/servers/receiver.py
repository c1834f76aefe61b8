"""A main service's end: keeps what it is told, and answers as a test says."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Telling:
    """One notification as it came: its header's names are lower-case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """What its body says."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_genuine(self, secret: str, now_s: float) -> bool:
        """Check it as docs/events.md tells receivers to."""
        given = dict(part.split("=", 1) for part in self.headers["carryall-signature"].split(","))
        expected = hmac.new(secret.encode(), given["t"].encode() + b"." + self.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, given["v1"]) and abs(now_s - int(given["t"])) <= 300


class Receiver(ThreadingHTTPServer):
    """Listens on a free port.

    Attributes:
        told: every notification, in order.
        statuses: what the next ones are answered with; 200 when there are none left.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.told: list[Telling] = []
        self.statuses: list[int] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/hooks/files"

    def of(self, event_type: str) -> list[dict[str, Any]]:
        """Give what was told of a type: each event's data."""
        return [one.event["data"] for one in list(self.told) if one.event["type"] == event_type]

    def wait(self, event_type: str, number: int = 1, *, owner: str | None = None) -> list[dict[str, Any]]:
        """Wait until so many of a type, or of an owner's, were told; give their data."""
        deadline = time.monotonic() + 30
        while True:
            found = [data for data in self.of(event_type) if owner in (None, data["owner"])]
            if len(found) >= number:
                return found
            assert time.monotonic() < deadline, self.told
            time.sleep(0.02)


class _Hook(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Take a notification."""
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.told.append(Telling(self.path, headers, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen inside the block."""
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()
