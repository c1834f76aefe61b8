"""A client of server-sent events that reads as browsers do, in a thread of its own."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

_WAIT_S = 20.0


@dataclass(frozen=True)
class Told:
    """One event as it came."""

    id: str
    type: str
    data: dict[str, Any]


class Source:
    """Follows a stream until it ends or is closed. Source: the WHATWG's HTML, "Server-sent events", 9.2.6."""

    def __init__(self, url: str, headers: Mapping[str, str], **params: str) -> None:
        self.events: list[Told] = []
        self.comments: list[str] = []
        self.last_id: str | None = None
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.failure: Exception | None = None
        place = urlsplit(url)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        self._connection.connect()
        self._socket = self._connection.sock
        self._request = (f"{place.path}/v1/events?{urlencode(params)}", dict(headers))
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.wait(lambda: self.last_id is not None or not self._thread.is_alive(), "the stream's beginning")

    @property
    def is_over(self) -> bool:
        """True when the server has ended the stream."""
        return not self._thread.is_alive()

    @property
    def subjects(self) -> list[str]:
        """What the events were about, in order."""
        return [event.data["subject"] for event in self.events]

    def wait(self, is_so: Callable[[], bool], what: str, *, seconds: float = _WAIT_S) -> None:
        """Wait until something is so; give up with the reason."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, f"{what} didn't come: {self.status} {self.events} {self.failure}"
            time.sleep(0.01)

    def wait_for(self, number: int) -> list[Told]:
        """Wait for so many events; give them."""
        self.wait(lambda: len(self.events) >= number or self.is_over, f"{number} events")
        return self.events

    def close(self) -> None:
        """Go away."""
        self._is_closed.set()
        with suppress(OSError):  # the server was faster
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(_WAIT_S)
        self._connection.close()

    def _run(self) -> None:
        path, headers = self._request
        try:
            self._connection.request("GET", path, headers=headers)
            answer = self._connection.getresponse()
            self.status, self.headers = answer.status, answer.headers
            block: list[str] = []
            while answer.status == 200 and (line := answer.readline().decode()):
                if line != "\n":
                    block.append(line.removesuffix("\n"))
                    continue
                self._take(block)
                block = []
        except (http.client.HTTPException, OSError) as error:
            if not self._is_closed.is_set():
                self.failure = error

    def _take(self, block: list[str]) -> None:
        fields: dict[str, str] = {}
        for line in block:
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            else:
                self.comments.append(value)
        self.last_id = fields.get("id", self.last_id)
        if "data" in fields:
            self.events.append(Told(fields["id"], fields["event"], json.loads(fields["data"])))
