"""A client of HTTP/1.1 on a raw socket, which reads every interim answer: for the tests of 104 and of cuts."""

import fcntl
import socket
import struct
import termios
import time
from dataclasses import dataclass, field
from typing import Any, Self

Fields = dict[str, str]


@dataclass
class Answer:
    """One answer; interim ones have no body. Names are lower-case."""

    status: int
    reason: str
    headers: Fields
    body: bytes = b""
    interim: list["Answer"] = field(default_factory=list)

    @property
    def announced(self) -> list[Fields]:
        """Give the headers of the 104s before it."""
        return [one.headers for one in self.interim if one.status == 104]


class Raw:
    """One connection."""

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout=20)
        self._input = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close with a FIN."""
        self._input.close()
        self.socket.close()

    def ask(self, method: str, path: str, headers: Any, body: bytes = b"", *, version: str = "1.1") -> None:
        """Send a request's head, and the bytes that follow it at once."""
        named = {"Host": f"127.0.0.1:{self.socket.getpeername()[1]}", **headers}
        lines = "".join(f"{name}: {text}\r\n" for name, text in named.items())
        self.send(f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode() + body)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def head(self) -> Answer:
        """Read the next answer's head, interim or not."""
        line = self._input.readline()
        assert line, "the connection ended without an answer"
        _, status, reason = (line.decode().rstrip("\r\n") + " ").split(" ", 2)
        headers = {}
        while (line := self._input.readline()) not in (b"\r\n", b""):
            name, _, text = line.decode("latin-1").partition(":")
            headers[name.lower()] = text.strip()
        return Answer(int(status), reason.strip(), headers)

    def answer(self, *, has_body: bool = True) -> Answer:
        """Read up to the end of the next answer, with its interim ones."""
        interim = []
        while (one := self.head()).status < 200:
            interim.append(one)
        if has_body and one.status not in (204, 304):
            one.body = self._body(one.headers)
        one.interim = interim
        return one

    def _body(self, headers: Fields) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            found = b""
            while size := int(self._input.readline(), 16):
                found += self._input.read(size)
                self._input.readline()
            self._input.readline()
            return found
        if "content-length" in headers:
            return self._input.read(int(headers["content-length"]))
        return self._input.read()

    def is_closed(self) -> bool:
        """Wait for the server to close; tell whether it did so, without another byte."""
        try:
            return self._input.read(1) == b""
        except ConnectionError:
            return True

    def reset(self) -> None:
        """Close with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._input.close()
        self.socket.close()

    def unacknowledged(self) -> int:
        """Give how many bytes the server's kernel hasn't taken, once that stands still: a RST throws those away."""
        seen, still = -1, 0
        while still < 5:
            left = struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, b"\0" * 4))[0]
            seen, still = left, still + 1 if left == seen else 0
            time.sleep(0.02)
        return seen
