"""One HTTP/1.1 connection to a public address, on which every interim answer is seen."""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from carryall.model.errors import CarryallError

_CONNECT_S = 10.0
_BODY_MAX_BYTES = 1 << 20


class Silence(CarryallError):
    """No answer came, or none that is HTTP."""

    code = "no_answer"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Header names are lower-case; of several lines with one name the last is kept.

    Attributes:
        version: as it stands in the status line: "HTTP/1.1".
        interim: the statuses before the answer, 100 left out.
    """

    version: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)

    @property
    def is_ours(self) -> bool:
        """Tell whether this server wrote it; proxies have answers of their own."""
        return "x-request-id" in self.headers


@dataclass(frozen=True, slots=True)
class Place:
    """A public address: scheme, host, port, and a path without a trailing slash below which the server is."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> "Place":
        """Read a URL. Raises CarryallError, `url_invalid`, for one that isn't http or https."""
        try:
            parts = urlsplit(url)
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (ValueError, KeyError) as error:
            raise CarryallError("The address has to be like https://files.example.org.", code="url_invalid") from error
        return cls(parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"))

    @property
    def name(self) -> str:
        """Give what stands in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


class Line:
    """A connection; closed at the block's end. Whatever doesn't come in time, or isn't HTTP, is Silence."""

    def __init__(self, place: Place, tls: ssl.SSLContext | None = None) -> None:
        self._place = place
        self.spoken: str | None = None  # what TLS agreed on, of what the context offers
        try:
            self._socket = socket.create_connection((place.host, place.port), timeout=_CONNECT_S)
            if place.scheme == "https":
                context = tls or ssl.create_default_context()
                wrapped = context.wrap_socket(self._socket, server_hostname=place.host)
                self._socket, self.spoken = wrapped, wrapped.selected_alpn_protocol()
        except OSError as error:
            raise Silence(f"No connection to {place.host}, port {place.port}: {error}.") from error
        self._input = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()
        self._socket.close()

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Send a head, and what is given of the body; Content-Length is the body's unless the headers say another."""
        length = {} if method in ("GET", "HEAD", "OPTIONS", "DELETE") else {"Content-Length": str(len(body))}
        lines = {"Host": self._place.name, "User-Agent": "carryall-doctor", **length, **headers}
        head = f"{method} {self._place.path}{path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        self.go_on(head.encode("latin-1") + b"\r\n" + body)

    def go_on(self, data: bytes) -> None:
        """Send more of the body."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Silence(f"The connection broke: {error}.") from error

    def reply(self, *, within_s: float, to: str = "GET") -> Reply:
        """Read an answer to a request of this method."""
        interim: list[int] = []
        while (one := self.head(within_s=within_s)).status < 200:
            interim += [one.status] if one.status != 100 else []
        has_body = to != "HEAD" and one.status not in (204, 304)
        return Reply(one.version, one.status, one.headers, self._body(one.headers) if has_body else b"", interim)

    def head(self, *, within_s: float) -> Reply:
        """Read the next head, an interim answer's or the answer's."""
        self._socket.settimeout(within_s)
        try:
            version, status, *_ = self._input.readline(65536).decode("latin-1").split(" ", 2)
            headers = {}
            while (line := self._input.readline(65536)) not in (b"\r\n", b""):
                name, _, text = line.decode("latin-1").partition(":")
                headers[name.lower()] = text.strip()
            return Reply(version, int(status), headers)
        except TimeoutError as error:
            raise Silence(f"No answer came within {within_s:g} seconds.") from error
        except (OSError, ValueError) as error:
            raise Silence("The connection ended without an answer.") from error

    def _body(self, headers: Mapping[str, str]) -> bytes:
        try:
            if headers.get("transfer-encoding", "").lower() != "chunked":
                return self._input.read(min(int(headers.get("content-length", _BODY_MAX_BYTES)), _BODY_MAX_BYTES))
            found = b""
            while size := int(self._input.readline(1024).split(b";")[0], 16):
                found += self._input.read(min(size, _BODY_MAX_BYTES))
                self._input.readline(1024)
            self._input.readline(1024)
            return found
        except (OSError, ValueError) as error:
            raise Silence("The answer's body broke off.") from error
