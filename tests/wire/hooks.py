"""The main service's end: keeps what it is told, and answers 200."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hooks(ThreadingHTTPServer):
    """Listens on a free port. `told` are the notifications that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.told: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/hooks"

    def stored(self, owner: str, count: int = 0) -> list[dict[str, Any]]:
        """Wait until so many of an owner's files were said to be stored; give what was said of them."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            told = [one["data"] for one in list(self.told) if one["type"] == "file.stored"]
            found = [data for data in told if data["owner"] == owner]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{len(found)} notifications of {owner}")


class _Hook(BaseHTTPRequestHandler):
    server: Hooks

    def do_POST(self) -> None:
        """Take a notification."""
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def hooks() -> Iterator[Hooks]:
    """Listen inside the block."""
    with Hooks() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()
