"""A server to attack, a client that sends exactly the bytes it is given, and every door that takes a file."""

import base64
import contextlib
import http.client
import io
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.attacks.resumable import ResumableDoors
from tests.servers.ports import free_port

SERVICE_TOKEN = "attacked-service-token-5c1d"
ADMIN_TOKEN = "attacked-admin-token-91e7"
ISSUER, AUDIENCE = "attacked-issuer", "attacked-audience"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(40)
NOBODY: dict[str, str] = {}
_START_S = 30.0
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

Headers = Mapping[str, str | bytes] | Sequence[tuple[str | bytes, str | bytes]]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def base64url(data: bytes) -> str:
    """Write bytes as the parts of a token are written."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Answer:
    """What came back: the whole text as `raw`, its head as `head`, both as bytes; status 0 when nothing came."""

    status: int
    raw: bytes
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        """Give every value of a header."""
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def one(self, name: str) -> str:
        """Give a header's values, joined; "" when it isn't there."""
        return ", ".join(self.all(name))


class _Replay:
    """What http.client reads an answer from when the bytes are there already."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self.raw)


def _is_whole(raw: bytearray, method: str) -> bool:
    """Tell whether a final answer with a length has come; one without a length ends with the connection."""
    head, end, _ = raw[:20_000].partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    if not end or head.startswith(b"HTTP/1.1 1") or not length:
        return False
    return method == "HEAD" or len(raw) >= len(head) + 4 + int(length[1])


def _understand(raw: bytes, method: str) -> Answer:
    """Read an answer's bytes: statuses below 200 are skipped."""
    if not raw:
        return Answer(0, raw, [], b"")
    parsed = http.client.HTTPResponse(_Replay(raw), method=method)  # type: ignore[arg-type]
    parsed.begin()
    try:
        body = parsed.read()
    except http.client.IncompleteRead as cut:
        body = cut.partial
    return Answer(parsed.status, raw, parsed.getheaders(), body)


@dataclass
class Target:
    """One running server, seen from outside. `url` has no trailing slash."""

    port: int
    data_dir: Path
    environment: Mapping[str, str]
    log_path: Path
    process: subprocess.Popen[bytes]
    key: rsa.RSAPrivateKey = _KEY
    issuer: str = ISSUER
    audience: str = AUDIENCE
    admin_token: str = ADMIN_TOKEN
    service_token: str = SERVICE_TOKEN
    source: str = "127.0.0.1"
    _document: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin(self) -> dict[str, str]:
        return self.bearer(self.admin_token)

    @property
    def service(self) -> dict[str, str]:
        return {"X-Auth-Token": self.service_token}

    @property
    def document(self) -> dict[str, Any]:
        """The server's OpenAPI document."""
        self._document = self._document or self.ask("GET", "/openapi.json").json()
        return self._document

    def bearer(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    # --- talking -----------------------------------------------------------------------------------------------------

    def elsewhere(self) -> "Target":
        """Give the same server as it is seen from another address: on Linux all of 127.0.0.0/8 is loopback."""
        if sys.platform != "linux":
            return self
        return replace(
            self, source=f"127.{secrets.randbelow(255)}.{secrets.randbelow(255)}.{2 + secrets.randbelow(250)}"
        )

    def connect(self, wait_s: float = 20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=wait_s, source_address=(self.source, 0))

    def exchange(self, request: bytes, *, method: str = "GET", wait_s: float = 20) -> Answer:
        """Send bytes as they are and give the answer; the request should ask for the connection to be closed."""
        with self.connect(wait_s) as peer:
            with contextlib.suppress(ConnectionError):
                peer.sendall(request)
            return self.finish(peer, method)

    def finish(self, peer: socket.socket, method: str = "GET") -> Answer:
        """Read until the answer is whole, by its own length, or the server closes."""
        raw = bytearray()
        with contextlib.suppress(ConnectionError):
            while not _is_whole(raw, method) and (piece := peer.recv(1 << 18)):
                raw += piece
        return _understand(bytes(raw), method)

    def head(self, method: str, target: str | bytes, headers: Headers, *, host: str | None = None) -> bytes:
        """Write a request's head, byte for byte."""
        pairs = [*(headers.items() if isinstance(headers, Mapping) else headers)]
        lines = [method.encode() + b" " + _bytes(target) + b" HTTP/1.1"]
        lines.append(b"Host: " + (host or f"127.0.0.1:{self.port}").encode())
        lines += [_bytes(name) + b": " + _bytes(value) for name, value in pairs]
        return b"\r\n".join([*lines, b"Connection: close", b"", b""])

    def ask(
        self,
        method: str,
        target: str | bytes,
        headers: Headers = NOBODY,
        body: bytes | None = None,
        *,
        host: str | None = None,
        wait_s: float = 20,
    ) -> Answer:
        """Make one request on a connection of its own; nothing in the target is normalised."""
        pairs = [*(headers.items() if isinstance(headers, Mapping) else headers)]
        if body is not None:
            pairs.append(("Content-Length", str(len(body))))
        return self.exchange(self.head(method, target, pairs, host=host) + (body or b""), method=method, wait_s=wait_s)

    def send_json(self, method: str, target: str, who: Mapping[str, str], value: Any) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask(method, target, {**who, "Content-Type": "application/json"}, body)

    def form(
        self, *parts: tuple[str | bytes, bytes], boundary: str = "attack-boundary"
    ) -> tuple[dict[str, str], bytes]:
        """Write a form byte for byte: each part's head behind `Content-Disposition: form-data; `, and its content."""
        opening = f"--{boundary}\r\nContent-Disposition: form-data; ".encode()
        blocks = [opening + _bytes(head) + b"\r\n\r\n" + content + b"\r\n" for head, content in parts]
        body = b"".join([*blocks, f"--{boundary}--\r\n".encode()])
        return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, body

    # --- who asks ----------------------------------------------------------------------------------------------------

    def user(self, name: str | None = None, *, plan: str | None = None) -> SimpleNamespace:
        """Make a user; give their name, token and headers."""
        name = name or f"user-{secrets.token_hex(4)}"
        made = self.send_json("POST", "/v1/users", self.admin, {"name": name, **({"plan": plan} if plan else {})})
        assert made.status == 201, made.text
        token = self.send_json("POST", f"/v1/users/{quote(name, safe='')}/tokens", self.admin, {}).json()["token"]
        return SimpleNamespace(name=name, token=token, who=self.bearer(token))

    def sign(self, claims: Any = None, header: Any = None, *, key: rsa.RSAPrivateKey | None = None, **more: Any) -> str:
        """Make a token as the main service would; a claim of None is left out, bytes are taken as they are."""
        now = int(time.time())
        basic = {"sub": "mallory", "iss": self.issuer, "aud": self.audience, "iat": now, "exp": now + 600}
        if not isinstance(claims, bytes):
            kept = {name: value for name, value in {**basic, **(claims or {}), **more}.items() if value is not None}
            claims = json.dumps(kept).encode()
        header = (
            header
            if isinstance(header, bytes)
            else json.dumps({"alg": "RS256", "typ": "JWT", **(header or {})}).encode()
        )
        signed = f"{base64url(header)}.{base64url(claims)}"
        signature = (key or self.key).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{base64url(signature)}"

    def subject(self, sub: str | None = None, **claims: Any) -> SimpleNamespace:
        """Make a user of the main service; give their name, token and headers."""
        sub = sub or f"sub-{secrets.token_hex(4)}"
        token = self.sign(sub=sub, **claims)
        return SimpleNamespace(name=sub, token=token, who=self.bearer(token))

    # --- looking -----------------------------------------------------------------------------------------------------

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def kept(self) -> dict[str, int]:
        """Give every file below the folders that hold bytes, with its size."""
        found = {}
        for room in ("staging", "files"):
            for shard in os.scandir(self.data_dir / room):
                for entry in os.scandir(shard):
                    with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                        found[f"{room}/{shard.name}/{entry.name}"] = entry.stat(follow_symlinks=False).st_size
        return found

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=40)

    @contextlib.contextmanager
    def staying_awake(self, limit_s: float = 1.0) -> Iterator[None]:
        """Ask /health all the while; afterwards no answer may have taken longer than the limit."""
        over, waits = threading.Event(), [0.0]

        def watch() -> None:
            while not over.wait(0.03):
                began = time.monotonic()
                healthy = self.ask("GET", "/health", wait_s=15).status == 200
                waits.append(time.monotonic() - began if healthy else float("inf"))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
        assert max(waits) <= limit_s, f"/health took {max(waits):.2f} s"


# --- doors ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """What a door made of a file: where it can be read and by whom, and the name that the server has for it."""

    answer: Answer
    url: str = ""
    who: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    id: str = ""

    @property
    def is_stored(self) -> bool:
        return self.answer.status in (200, 201)

    @property
    def path(self) -> str:
        """The target that reads the bytes."""
        parts = urlsplit(self.url)
        return parts.path + ("?" + parts.query if parts.query else "")


Door = Callable[..., Sent]


def escaped(name: str) -> str:
    """Write a name into a form's quotes as browsers do (WHATWG, multipart/form-data encoding)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


class Doors(ResumableDoors):
    """Every door that takes a file. Each takes (data, name, *, who, media_type) and gives a Sent.

    `head` writes a form part's name parameters in another way, for forms: `filename*=…`.
    """

    NAMES = (
        "relay-form",
        "relay-raw",
        "blobs-form",
        "blobs-batch",
        "gallery",
        "chunks",
        "v1-form",
        "v1-raw",
        "v1-disposition",
        "by-name",
        *ResumableDoors.RESUMABLE,
    )
    FORMS = ("relay-form", "blobs-form", "blobs-batch", "gallery", "v1-form")

    def __init__(self, target: Target, user: SimpleNamespace | None = None) -> None:
        self.target = target
        self.user = user or target.user()
        self.subject = target.subject()
        self._serial = iter(range(1, 1 << 30))

    def __getitem__(self, name: str) -> Door:
        return getattr(self, name.replace("-", "_"))  # type: ignore[no-any-return]

    def credentials(self, name: str) -> Mapping[str, str]:
        """Give the headers that a door takes unless it is told otherwise."""
        if name.startswith("relay"):
            return self.target.service
        if name == "gallery":
            return NOBODY
        return self.subject.who if name == "chunks" else self.user.who

    def by_form(
        self, place: tuple[str, str], data: bytes, name: str, *, who: Any, media_type: str = "", head: Any = None
    ) -> Answer:
        """Send a form with one file to a place: a path, and the field that it takes the file in."""
        target, field_name = place
        said = head if head is not None else f'filename="{escaped(name)}"'
        lines = [f'name="{field_name}"; '.encode() + _bytes(said)]
        if media_type:
            lines.append(b"Content-Type: " + _bytes(media_type))
        headers, body = self.target.form((b"\r\n".join(lines), data))
        return self.target.ask("POST", target, {**who, **headers}, body)

    def relay_form(self, data: bytes, name: str = "a.bin", *, who: Any = None, **how: Any) -> Sent:
        answer = self.by_form(("/upload", "file"), data, name, who=who or self.target.service, **how)
        return self._relayed(answer)

    def relay_raw(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Sent:
        headers = {**(who or self.target.service), "Content-Type": media_type or "application/octet-stream"}
        return self._relayed(self.target.ask("POST", f"/upload?fileName={quote(name, safe='')}", headers, data))

    def _relayed(self, answer: Answer) -> Sent:
        if answer.status != 200:
            return Sent(answer)
        told = answer.json()
        return Sent(answer, told["link"], NOBODY, told["filename"], told["file_id"])

    def blobs_form(self, data: bytes, name: str = "a.bin", *, who: Any = None, **how: Any) -> Sent:
        who = who or self.user.who
        answer = self.by_form(("/upload", "file"), data, name, who=who, **how)
        return self._shortened(answer, answer.json() if answer.status == 200 else {}, who)

    def blobs_batch(self, data: bytes, name: str = "a.bin", *, who: Any = None, **how: Any) -> Sent:
        who = who or self.user.who
        answer = self.by_form(("/upload_batch", "files"), data, name, who=who, **how)
        results = answer.json() if answer.status == 200 else []
        return self._shortened(answer, results[0] if results else {}, who)

    def _shortened(self, answer: Answer, told: Any, who: Any) -> Sent:
        if answer.status != 200:
            return Sent(answer)
        url = told["file_url"]
        about = self.target.ask("GET", urlsplit(url).path + "?output=json", who).json()
        return Sent(answer, url, who, about["file_name"], told["file_id"])

    def gallery(self, data: bytes, name: str = "a.png", *, who: Any = None, **how: Any) -> Sent:
        answer = self.by_form(("/api/upload", "files"), data, name, who=who or NOBODY, **how)
        if answer.status != 200:
            return Sent(answer)
        told = answer.json()["data"][0]
        return Sent(answer, told["preview_url"], NOBODY, told["original_filename"], told["stored_filename"])

    def chunks(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Sent:
        who = who or self.subject.who
        number = next(self._serial)
        begun = self.begin(number, name, who=who)
        if begun.status != 200:
            return Sent(begun)
        session = begun.json()["data"]["upload_session_id"]
        sent = self.chunk(session, 0, data, who=who, media_type=media_type)
        if sent.status != 200:
            return Sent(sent)
        answer = self.complete(session, 1, number, who=who)
        if answer.status != 200:
            return Sent(answer)
        told = answer.json()["data"]
        about = self.target.ask("GET", f"/v1/files/{told['file_id']}", who).json()
        return Sent(answer, told["file_download_url"], who, about["name"], told["file_id"])

    def begin(self, number: Any, name: Any, *, who: Any = None) -> Answer:
        """Begin a chunk session."""
        body = {"main_service_file_id": number, "original_file_name": name}
        return self.target.send_json("POST", "/upload/init", who or self.subject.who, body)

    def chunk(self, session: Any, index: Any, data: bytes, *, who: Any = None, media_type: str = "") -> Answer:
        """Send a chunk."""
        said = b"\r\nContent-Type: " + _bytes(media_type) if media_type else b""
        headers, body = self.target.form(
            ('name="upload_session_id"', _bytes(session)),
            ('name="chunk_index"', str(index).encode()),
            (b'name="chunk"; filename="blob"' + said, data),
        )
        return self.target.ask("POST", "/upload/chunk", {**(who or self.subject.who), **headers}, body)

    def complete(self, session: Any, total: Any, number: Any, *, who: Any = None) -> Answer:
        """End a chunk session."""
        body = {"upload_session_id": session, "total_chunks": total, "main_service_file_id": number}
        return self.target.send_json("POST", "/upload/complete", who or self.subject.who, body)

    def v1_form(self, data: bytes, name: str = "a.bin", *, who: Any = None, **how: Any) -> Sent:
        who = who or self.user.who
        answer = self.by_form(("/v1/files", "file"), data, name, who=who, **how)
        return self._native(answer, who, answer.json()["files"][0] if answer.status == 201 else {})

    def v1_raw(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Sent:
        who = who or self.user.who
        headers = {**who, "Content-Type": media_type or "application/octet-stream"}
        answer = self.target.ask("POST", f"/v1/files?filename={quote(name, safe='')}", headers, data)
        return self._native(answer, who)

    def v1_disposition(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Sent:
        who = who or self.user.who
        said = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        headers = {**who, "Content-Type": media_type or "application/octet-stream", "Content-Disposition": said}
        return self._native(self.target.ask("POST", "/v1/files", headers, data), who)

    def by_name(self, data: bytes, name: str = "a.bin", *, who: Any = None, media_type: str = "") -> Sent:
        who = who or self.user.who
        headers = {**who, "Content-Type": media_type or "application/octet-stream"}
        answer = self.target.ask("PUT", f"/v1/by-name/{quote(name, safe='')}", headers, data)
        sent = self._native(answer, who)
        return Sent(answer, sent.url, who, answer.json()["path"], sent.id) if sent.is_stored else sent

    def _native(self, answer: Answer, who: Any, told: Any = None) -> Sent:
        if answer.status not in (200, 201):
            return Sent(answer)
        told = told or answer.json()
        return Sent(answer, told["url"], who, told["name"], told["id"])


# --- servers --------------------------------------------------------------------------------------------------------


def _environment(data_dir: Path, settings: Mapping[str, str]) -> dict[str, str]:
    public = _KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    given = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CARRYALL_")},
        "AUTH_TOKEN": SERVICE_TOKEN,
        "CARRYALL_ADMIN_TOKEN": ADMIN_TOKEN,
        "CARRYALL_DATA_DIR": str(data_dir),
        "CARRYALL_LOG_FORMAT": "json",
        "MAIN_SERVICE_JWT_PUBLIC_KEY": public.decode(),
        "EXPECTED_JWT_ISSUER": ISSUER,
        "EXPECTED_JWT_AUDIENCE": AUDIENCE,
        "REQUEST_TIMES_PER_MINTUE": "1000000",
        "CARRYALL_GALLERY_REQUESTS_PER_MINUTE": "1000000",
        **settings,
    }
    return {name: value for name, value in given.items() if value != "-"}


def _start(folder: Path, settings: Mapping[str, str]) -> Target:
    folder.mkdir(parents=True, exist_ok=True)
    data_dir, log_path, port = folder / "data", folder / "server.log", free_port()
    environment = _environment(data_dir, settings)
    command = [sys.executable, "-m", "carryall", "serve", "--port", str(port)]
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    target = Target(port, data_dir, environment, log_path, process)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ConnectionError):
            if target.ask("GET", "/ready").status == 200:
                return target
        time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{target.log()}")


@pytest.fixture(scope="session")
def running(
    tmp_path_factory: pytest.TempPathFactory, servers_database: Callable[[], dict[str, str]]
) -> Iterator[Target]:
    """A server that many tests attack, with room for everybody."""
    server = _start(tmp_path_factory.mktemp("attacked"), servers_database())
    yield server
    assert server.stop() == 0, server.log()[-4000:]


@pytest.fixture
def target(running: Target) -> Target:
    """The shared server as one attacker sees it, from an address of their own: make users of your own."""
    return running.elsewhere()


@pytest.fixture(scope="session")
def somebody(running: Target) -> SimpleNamespace:
    """A user whom tests share that only send files."""
    return running.user()


@pytest.fixture(scope="module")
def make_target(
    tmp_path_factory: pytest.TempPathFactory, servers_database: Callable[[], dict[str, str]]
) -> Iterator[Callable[..., Target]]:
    """Make a server with settings of its own ("-" takes a name out); it ends when the next one begins."""
    servers: list[Target] = []

    def make(**settings: str) -> Target:
        while servers:
            servers.pop().stop()
        servers.append(_start(tmp_path_factory.mktemp("other"), servers_database() | settings))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def doors(target: Target, somebody: SimpleNamespace) -> Doors:
    """Give every door of the shared server."""
    return Doors(target, somebody)


@pytest.fixture(scope="session")
def doors_of() -> Callable[[Target], Doors]:
    """Give a function that finds the doors of another server."""
    return Doors


@pytest.fixture(scope="session")
def png() -> bytes:
    """Give bytes that every sniffer takes for a PNG image."""
    return PNG
