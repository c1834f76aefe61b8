"""Two protocols told alike: what a resumable client says by hand, on a connection that a test may break."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

STREAM = "application/offset+octet-stream"
PARTIAL = "application/partial-upload"
PROTOCOLS = ("tus", "draft")


@dataclass(frozen=True)
class Told:
    """An answer; the headers' names in small letters."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Read the content."""
        return json.loads(self.content)


def ask(port: int, method: str, path: str, headers: Mapping[str, str], *, wait_s: float = 30) -> Told:
    """Make a request without a body on a connection of its own: a client library would cost more than the server."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=wait_s)
    with contextlib.closing(connection):
        connection.request(method, path, headers=dict(headers))
        answer = connection.getresponse()
        return Told(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


@dataclass(frozen=True)
class Speaker:
    """A client of one protocol and one user. Uploads are named by their paths.

    Attributes:
        who: the headers that sign its requests.
    """

    protocol: str
    port: int
    who: Mapping[str, str]

    def begin(self, size: int) -> str:
        """Begin an upload of known size; give its path."""
        told = {"Upload-Length": str(size)}
        path = "/files/" if self.protocol == "tus" else "/v1/files"
        answer = self.ask("POST", path, {**told, **({} if self.protocol == "tus" else {"Upload-Complete": "?0"})})
        assert answer.status_code == 201, answer.content
        return str(urlsplit(answer.headers["location"]).path)

    def headers(self, offset: int, size: int, total: int) -> dict[str, str]:
        """Give the headers that bring `size` bytes at an offset of an upload of `total`."""
        given = {**self.who, "Upload-Offset": str(offset), "Content-Length": str(size)}
        if self.protocol == "tus":
            return {**given, "Tus-Resumable": "1.0.0", "Content-Type": STREAM}
        ends = "?1" if offset + size == total else "?0"
        return {**given, "Upload-Complete": ends, "Content-Type": PARTIAL}

    def ask(self, method: str, path: str, more: Mapping[str, str] | None = None, *, wait_s: float = 30) -> Told:
        """Make a request without a body."""
        spoken = {"Tus-Resumable": "1.0.0"} if self.protocol == "tus" else {}
        return ask(self.port, method, path, {**self.who, **spoken, **(more or {})}, wait_s=wait_s)

    def stored(self, path: str) -> bytes:
        """Read the file that an upload became."""
        upload = ask(self.port, "GET", f"/v1/uploads/{path.rpartition('/')[2]}?output=json", self.who).json()
        answer = ask(self.port, "GET", f"/v1/files/{upload['file_id']}/content", self.who)
        assert answer.status_code == 200, answer.content
        return answer.content

    def offset(self, path: str, *, wait_s: float = 30) -> int:
        """Ask where an upload stands, as a client that is about to continue does."""
        answer = self.ask("HEAD", path, wait_s=wait_s)
        assert answer.status_code in (200, 204), answer.status_code
        return int(answer.headers["upload-offset"])

    def open(
        self, path: str, offset: int, size: int, total: int, *, port: int | None = None, wait_s: float = 30
    ) -> socket.socket:
        """Send the head of a PATCH; give the connection, to send its body on."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers(offset, size, total).items())
        peer = socket.create_connection(("127.0.0.1", port or self.port), timeout=wait_s)
        peer.sendall(f"PATCH {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n".encode())
        return peer

    def send(self, path: str, offset: int, data: bytes, total: int, *, wait_s: float = 30) -> int:
        """Send bytes; give the status, 0 where none came."""
        with self.open(path, offset, len(data), total, wait_s=wait_s) as peer:
            with contextlib.suppress(ConnectionError):
                peer.sendall(data)
            return status_of(peer)


def status_of(peer: socket.socket) -> int:
    """Read the final status from a connection; 0 where it ends without one."""
    with contextlib.suppress(ConnectionError):
        answers = peer.makefile("rb")
        while line := answers.readline():
            if line.startswith(b"HTTP/1.1 ") and not line.startswith(b"HTTP/1.1 1"):
                return int(line.split()[1])
    return 0


def eventually(check: Callable[[], bool], within_s: float) -> bool:
    """Ask again and again until it is so; False when the time is over."""
    deadline = time.monotonic() + within_s
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
