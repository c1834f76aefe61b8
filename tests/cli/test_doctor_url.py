"""`carryall doctor --url`: what a client meets on its way to the server, by itself and through nginx."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.servers.ports import free_port

Front = Callable[[Any, str], str]
GOOD = (
    "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $http_host; client_max_body_size 0;"
    "proxy_request_buffering off; proxy_set_header X-Forwarded-For $remote_addr;"
)


@pytest.fixture
def front(tmp_path: Path, require_program: Callable[[str], str]) -> Iterator[Front]:
    """Start nginx before a server, set up by these lines; give its address."""
    nginx = require_program("nginx")
    running: list[subprocess.Popen[bytes]] = []

    def start(server: Any, rules: str) -> str:
        port = free_port()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
        user = "user root;" if os.geteuid() == 0 else ""
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; {user} pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}}\n"
            f"http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port};\n"
            f"location / {{ {rules} proxy_pass {server.url}; }} }} }}\n"
        )
        command = [nginx, "-p", tmp_path, "-c", tmp_path / "nginx.conf"]
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        url = f"http://127.0.0.1:{port}"
        _wait(url)
        return url

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=10)


def _wait(url: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{url}/ready", timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError("nginx doesn't answer")


def token(place: Any) -> str:
    """Give a token of somebody who may upload."""
    return str(place.jwt("carol")["Authorization"].removeprefix("Bearer "))


def examined(place: Any, url: str, *more: str) -> tuple[int, dict[str, str], set[str]]:
    """Give the status, what was found by what it is about, and what of that is wrong."""
    done = place.run("doctor", "--json", "--url", url, *more)
    found = json.loads(done.stdout)
    return (
        done.returncode,
        {one["about"]: one["text"] for one in found},
        {one["about"] for one in found if one["is_wrong"]},
    )


def test_our_own_server_is_in_order(place: Any) -> None:
    """By itself the server has nothing wrong: bytes pass as they come, a 104 arrives, and nothing is left behind."""
    server = place.serve()
    status, found, wrong = examined(place, server.url, "--token", token(place))
    with server.client(place.jwt("carol")) as client:
        left = client.get("/v1/me").json()["usage"]

    assert (0, set()) == (status, wrong)
    assert {"address", "buffering", "104"} == set(found)
    assert "as they come" in found["buffering"]
    assert "It arrives" in found["104"]
    assert (0, 0) == (left["files"], left["open_uploads"])


def test_without_a_token_nothing_is_uploaded(place: Any) -> None:
    """The rest is looked at all the same, and the report says what wasn't."""
    status, found, wrong = examined(place, place.serve().url)

    assert (0, set()) == (status, wrong)
    assert {"uploads", "address", "buffering"} == set(found)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://carryall.invalid/"])
def test_nobody_there_is_wrong(place: Any, url: str) -> None:
    """An address at which nothing answers is one finding, with what to do."""
    status, _, wrong = examined(place, url)

    assert (1, {"address"}) == (status, wrong)


def test_what_is_no_address_is_said(place: Any) -> None:
    """A word that is no address is an error, not a finding."""
    done = place.run("doctor", "--url", "files.example.org")

    assert 1 == done.returncode
    assert "The address has to be like https://files.example.org." in done.stderr


def test_a_good_nginx_is_in_order(place: Any, front: Front) -> None:
    """Set up as docs/deploy.md has it, nginx changes nothing, and no 104 is sent."""
    url = front(place.serve(), GOOD)
    status, found, wrong = examined(place, url, "--token", token(place))

    assert (0, set()) == (status, wrong)
    assert "through nginx/" in found["address"]
    assert "as they come" in found["buffering"]
    assert "It doesn't come here" in found["104"]


def test_a_bare_nginx_is_found_out(place: Any, front: Front) -> None:
    """Bare, nginx is not in order: bodies are kept back and limited, and links lead elsewhere."""
    url = front(place.serve(), "")
    status, found, wrong = examined(place, url, "--token", token(place))

    assert (1, {"size", "links"}) == (status, wrong)
    assert "more than 1 MiB" in found["size"]
    assert "proxy_request_buffering off" in found["buffering"]
    assert "CARRYALL_BASE_URL" in found["links"]


def test_methods_and_headers_that_get_lost_are_wrong(place: Any, front: Front) -> None:
    """A proxy that answers OPTIONS itself, or drops a range, is found out."""
    rules = GOOD + "if ($request_method = OPTIONS) { return 204; } proxy_set_header Range '';"
    _, found, wrong = examined(place, front(place.serve(), rules), "--token", token(place))

    assert {"options", "downloads"} == wrong
    assert "without" in found["options"]


def test_a_104_that_mixes_answers_up_is_wrong(place: Any, front: Front) -> None:
    """Where the operator insists on 104 and nginx doesn't know it, the doctor says so."""
    place.set(CARRYALL_INTERIM_104="on")
    url = front(place.serve(), GOOD)
    status, found, wrong = examined(place, url, "--token", token(place))

    assert (1, {"104"}) == (status, wrong)
    assert "CARRYALL_INTERIM_104=auto" in found["104"]
