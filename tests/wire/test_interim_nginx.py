"""104 and a real nginx: what `on` does to it, and that `auto` never does (ADR 0010)."""

import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.servers.ports import free_port
from tests.wire.drafts import flag, new_user
from tests.wire.raw import Answer, Raw

DATA = secrets.token_bytes(50_000)
FORWARDED = "proxy_set_header X-Forwarded-For $remote_addr;"
# Ways to set nginx up, good and bad; each gives itself away by something else.
SITES = {
    "says whom it speaks for": "proxy_http_version 1.1; proxy_set_header Connection ''; " + FORWARDED,
    "passes the host": "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host files.example;",
    "speaks 1.1 and no more": "proxy_http_version 1.1;",
    "speaks 1.0, as by default": "",
}
Front = Callable[..., int]


@pytest.fixture
def front(tmp_path: Path, require_program: Callable[[str], str]) -> Iterator[Front]:
    """Start nginx before a server; give its port. One worker with one kept connection: what mixes up, mixes up."""
    nginx = require_program("nginx")
    running: list[subprocess.Popen[bytes]] = []

    def start(server: Any, rules: str, buffering: str) -> int:
        port = free_port()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
        user = "user root;" if os.geteuid() == 0 else ""
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; {user} worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/log info; events {{}}\n"
            f"http {{ access_log off; {temporary} client_max_body_size 0;\n"
            f"upstream behind {{ server 127.0.0.1:{server.port}; keepalive 1; }}\n"
            f"server {{ listen 127.0.0.1:{port}; proxy_request_buffering {buffering}; {rules}\n"
            "location / { proxy_pass http://behind; } } }\n"
        )
        command = [nginx, "-p", tmp_path, "-c", tmp_path / "nginx.conf"]
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        _wait(port)
        return port

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=10)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/ready", timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError("nginx doesn't answer")


@pytest.fixture(scope="module")
def automatic(make_module_server: Callable[..., Any]) -> Any:
    """A server as it is by itself."""
    return make_module_server()


@pytest.fixture(scope="module")
def insistent(make_module_server: Callable[..., Any]) -> Any:
    """A server that announces uploads to everybody."""
    return make_module_server(CARRYALL_INTERIM_104="on")


def create(port: int, user: httpx2.Client) -> Iterator[Answer]:
    """Upload the whole in one request, as a client that knows 104 does; give each head that comes."""
    named = {"Authorization": user.headers["authorization"], "Content-Length": str(len(DATA)), "Connection": "close"}
    with Raw(port) as raw:
        raw.ask("POST", "/v1/files", named | flag(8, complete=True), DATA)
        yield raw.head()
        yield raw.head()


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("name", SITES)
def test_I_V5_auto_leaves_nginx_in_step(automatic: Any, front: Front, name: str, buffering: str) -> None:
    """However nginx is set up, an upload through it is answered by its own answer, and so is what comes next."""
    port = front(automatic, SITES[name], buffering)
    with new_user(automatic) as user:
        for _ in range(3):
            answer = next(create(port, user))
            health = httpx2.get(f"http://127.0.0.1:{port}/health")

            assert (201, "?1") == (answer.status, answer.headers["upload-complete"])
            assert (200, {"status": "ok"}) == (health.status_code, health.json())


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_on_leads_around_nginx(insistent: Any, front: Front, buffering: str) -> None:
    """The reason for `auto`: to nginx a 104 is the answer, and the true one passes as bytes that it never looked at.

    It comes only when our end of the connection closes, without nginx's own header fields. Should this fail, nginx has
    learnt interim answers: see ADR 0010.
    """
    port = front(insistent, SITES["says whom it speaks for"], buffering)
    with new_user(insistent) as user:
        first, second = create(port, user)

    assert (104, True) == (first.status, "server" in first.headers)
    assert (201, False) == (second.status, "server" in second.headers)
