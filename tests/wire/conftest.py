"""Real servers on loopback, and the credentials to talk to them."""

import asyncio
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.servers.ports import free_port
from tests.wire.makers import client_for

SERVICE_TOKEN = "test-token-12345"
ADMIN_TOKEN = "wire-tests-admin-token"
ISSUER = "hayula_main_service"
AUDIENCE = "hayula_upload_service"
_START_S = 60.0


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


KEY = _key()
PUBLIC_PEM = (
    KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
)
PRIVATE_PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


def make_jwt(subject: str = "alice", **claims: Any) -> str:
    """Make a token as the main service would; a claim of None is left out."""
    now = int(time.time())
    payload = {"sub": subject, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600, **claims}
    kept = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode({"alg": "RS256"}, kept, RSAKey.import_key(PRIVATE_PEM), algorithms=["RS256"])


@dataclass
class Server:
    """One running server. `url` has no trailing slash."""

    url: str
    port: int
    data_dir: Path
    environment: Mapping[str, str]
    log_path: Path
    process: subprocess.Popen[bytes]
    admin_token: str = ADMIN_TOKEN
    service_token: str = SERVICE_TOKEN
    jwt: Callable[..., str] = field(default=make_jwt)
    private_pem: str = PRIVATE_PEM
    public_pem: str = PUBLIC_PEM

    @property
    def admin(self) -> dict[str, str]:
        """Headers of the administrator."""
        return {"Authorization": f"Bearer {self.admin_token}"}

    @property
    def service(self) -> dict[str, str]:
        """Headers of the service."""
        return {"X-Auth-Token": self.service_token}

    def bearer(self, token: str) -> dict[str, str]:
        """Headers of whoever has this token."""
        return {"Authorization": f"Bearer {token}"}

    def new_user(self, name: str | None = None) -> tuple[str, dict[str, str]]:
        """Make a user by the admin API's first step; give the name and the headers."""
        name = name or f"user-{secrets.token_hex(4)}"
        made = self.cli("users", "token", name, "--add")
        token = made.strip().splitlines()[-1].strip()
        return name, self.bearer(token)

    def cli(self, *arguments: str) -> str:
        """Run the command line on this server's data; give what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "carryall", *arguments],
            env=dict(self.environment),
            cwd=self.data_dir.parent,
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def change_catalog(self, statement: str, *values: Any) -> int:
        """Change rows behind the server's back (values stand for $1 and so on); give how many there were."""
        url = self.environment.get("CARRYALL_DATABASE_URL")
        if url is None:
            with closing(sqlite3.connect(self.data_dir / "catalog.db", timeout=10)) as catalog, catalog:
                return catalog.execute(statement.replace("$", "?"), values).rowcount

        async def changed() -> str:
            connection = await asyncpg.connect(url)
            try:
                return str(await connection.execute(statement, *values))
            finally:
                await connection.close()

        return int(asyncio.run(changed()).split()[-1])

    def client(self, **options: Any) -> httpx2.Client:
        """Give a client for this server."""
        return httpx2.Client(base_url=self.url, timeout=30, **options)

    def log(self) -> str:
        """Give what the server logged so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the server and wait for it; give its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=40)

    def start_again(self) -> None:
        """Start the server anew on the same data and port."""
        self.process = _launch(self.environment, self.data_dir, self.port, self.log_path)
        _wait_until_ready(self)

    def rss_bytes(self) -> int:
        """Give the server's memory now (Linux)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")


def _launch(environment: Mapping[str, str], data_dir: Path, port: int, log_path: Path) -> subprocess.Popen[bytes]:
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "carryall", "serve", "--port", str(port)],
            env=dict(environment),
            cwd=data_dir.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if httpx2.get(f"{server.url}/ready", timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{server.log()}")


def _start(folder: Path, settings: Mapping[str, str]) -> Server:
    data_dir = folder / "data"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CARRYALL_")},
        "AUTH_TOKEN": SERVICE_TOKEN,
        "CARRYALL_ADMIN_TOKEN": ADMIN_TOKEN,
        "CARRYALL_DATA_DIR": str(data_dir),
        "CARRYALL_LOG_FORMAT": "json",
        "MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM,
        "EXPECTED_JWT_ISSUER": ISSUER,
        "EXPECTED_JWT_AUDIENCE": AUDIENCE,
        "REQUEST_TIMES_PER_MINTUE": "100000",
        "CARRYALL_GALLERY_REQUESTS_PER_MINUTE": "100000",
        **settings,
    }
    environment = {name: value for name, value in environment.items() if value != "-"}
    log_path = folder / "server.log"
    process = _launch(environment, data_dir, port, log_path)
    server = Server(f"http://127.0.0.1:{port}", port, data_dir, environment, log_path, process)
    try:
        _wait_until_ready(server)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return server


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, servers_database: Callable[[], dict[str, str]]
) -> Iterator[Server]:
    """A server that many tests share: make users of your own and look only at what is theirs."""
    running = _start(tmp_path_factory.mktemp("shared"), {"ALLOWED_USERS": "alice,bob,carol", **servers_database()})
    yield running
    assert running.stop() == 0, running.log()


@pytest.fixture
def make_server(tmp_path: Path, servers_database: Callable[[], dict[str, str]]) -> Iterator[Callable[..., Server]]:
    """Make a server with settings of its own (environment names; a value of "-" takes a name out)."""
    running: list[Server] = []

    def make(**settings: str) -> Server:
        running.append(_start(tmp_path / f"server{len(running)}", servers_database() | settings))
        return running[-1]

    yield make
    for server in running:
        server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def make_module_server(
    tmp_path_factory: pytest.TempPathFactory, servers_database: Callable[[], dict[str, str]]
) -> Iterator[Callable[..., Server]]:
    """Make a server as `make_server` does, which a file's tests share."""
    running: list[Server] = []

    def make(**settings: str) -> Server:
        running.append(_start(tmp_path_factory.mktemp("module"), servers_database() | settings))
        return running[-1]

    yield make
    for server in running:
        server.stop(signal.SIGKILL)


@dataclass
class Tus:
    """A tus client that does just what a test says. Uploads are named by the URLs that the server gave."""

    http: httpx2.Client
    endpoint: str = "/files/"

    def create(self, size: int | None = None, data: Any = None, **headers: str) -> httpx2.Response:
        """Begin an upload; header names are written with _ for -."""
        given = {"Upload-Length": str(size)} if size is not None else {}
        if data is not None:
            given["Content-Type"] = OFFSET_STREAM
        return self.http.post(self.endpoint, content=data, headers=given | _dashed(headers))

    def begin(self, size: int | None = None, **headers: str) -> str:
        """Begin an upload; give its URL. No size: it is told later."""
        given = headers if size is not None or "Upload_Concat" in headers else headers | {"Upload_Defer_Length": "1"}
        answer = self.create(size, **given)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["Location"])

    def patch(self, url: str, offset: Any, data: Any = b"", **headers: str) -> httpx2.Response:
        """Send bytes."""
        given = {"Upload-Offset": str(offset), "Content-Type": OFFSET_STREAM}
        return self.http.patch(url, content=data, headers=given | _dashed(headers))

    def head(self, url: str) -> httpx2.Response:
        """Ask where an upload stands."""
        return self.http.head(url)

    def offset(self, url: str) -> int:
        """Give where an upload stands."""
        answer = self.head(url)
        assert answer.status_code == 200
        return int(answer.headers["Upload-Offset"])

    def upload(self, data: bytes, **headers: str) -> str:
        """Send everything at once; give the upload's URL."""
        url = self.begin(len(data), **headers)
        answer = self.patch(url, 0, data)
        assert (204, str(len(data))) == (answer.status_code, answer.headers["Upload-Offset"])
        return url

    def file(self, url: str) -> bytes:
        """Give the bytes of the file that an upload became."""
        answer = self.http.get(url)
        assert answer.status_code == 200, answer.text
        assert "Upload-Offset" not in answer.headers
        return answer.content


OFFSET_STREAM = "application/offset+octet-stream"


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture
def make_tus() -> Iterator[Callable[..., Tus]]:
    """Make a tus client for a user of a server: another service's that nobody else is, or whose headers are given."""
    clients: list[httpx2.Client] = []

    def make(server: Server, headers: Mapping[str, str] | None = None, *, endpoint: str = "/files/") -> Tus:
        who = headers if headers is not None else server.bearer(server.jwt(f"u{secrets.token_hex(6)}"))
        clients.append(server.client(headers={**who, "Tus-Resumable": "1.0.0"}))
        return Tus(clients[-1], endpoint)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def tus(server: Server, make_tus: Callable[..., Tus]) -> Tus:
    """A tus client of the shared server, for a user of its own."""
    return make_tus(server)


@pytest.fixture
def client_of(server: Server) -> Iterator[Callable[[str], httpx2.Client]]:
    """Make clients of the shared server."""
    clients: list[httpx2.Client] = []

    def make(who: str) -> httpx2.Client:
        clients.append(client_for(server, who))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
