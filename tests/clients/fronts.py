"""Where clients find a server: itself, with one process or two, and nginx before it, in the ways it is set up."""

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx2
from tests.servers.ports import free_port

ROOT = Path(__file__).parents[2]
ADMIN_TOKEN = secrets.token_hex(16)
_START_S = 30.0
# Many clients at once are one user here, on a busy machine.
_ENVIRONMENT = {
    "CARRYALL_ADMIN_TOKEN": ADMIN_TOKEN,
    "CARRYALL_TRUSTED_PROXIES": "127.0.0.1",
    "FILE_SIZE_LIMIT_MB": "100",
    "TOTAL_SIZE_LIMIT_MB": "10000",
    "REQUEST_TIMES_PER_MINTUE": "100000",
}


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{url}/ready", timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"nothing answers at {url}:\n{log.read_text('utf-8')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=40)


def start_server(folder: Path, stack: ExitStack, *, workers: int) -> str:
    """Start a server of ours, until the stack is left; give its address."""
    folder.mkdir()
    port, log = free_port(), folder / "server.log"
    environment = {**os.environ, **_ENVIRONMENT, "CARRYALL_DATA_DIR": str(folder / "data")}
    environment["CARRYALL_WORKERS"] = str(workers)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "carryall", "serve", "--port", str(port)],
            env=environment,
            cwd=folder,
            stdout=out,
            stderr=out,
        )
    stack.callback(_stop, process)
    url = f"http://127.0.0.1:{port}"
    _wait(url, process, log)
    return url


def start_nginx(nginx: str, folder: Path, stack: ExitStack, server: str) -> dict[str, str]:
    """Start nginx before a server, with the example's site in three forms; give their addresses by name."""
    folder.mkdir()
    upstream, site = _example(server)
    ports = {name: free_port() for name in _FORMS}
    sites = [form(site).replace("listen 443 ssl;", f"listen 127.0.0.1:{ports[name]};") for name, form in _FORMS.items()]
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""  # its workers have to reach this test's folder
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} pid {folder}/pid; error_log {folder}/log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{upstream}\n{''.join(sites)}\n}}\n"
    )
    process = subprocess.Popen([nginx, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
    stack.callback(_stop, process)
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    urls["sub-path"] += "/carry"
    for url in urls.values():
        _wait(url, process, folder / "log")
    return urls


def _example(server: str) -> tuple[str, str]:
    """Give what the example says beside its sites, and its site without TLS."""
    text = (ROOT / "examples/nginx/carryall.conf").read_text("utf-8")
    beside, _, site = text.rpartition("\nserver {")
    beside = beside.split("\nserver {", maxsplit=1)[0].replace("127.0.0.1:8000", server.removeprefix("http://"))
    kept = [line for line in site.splitlines() if "ssl_certificate" not in line and "listen [::]" not in line]
    return beside, "\nserver {" + "\n".join(kept)


def _changed(text: str, changes: dict[str, str]) -> str:
    for theirs, ours in changes.items():
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    return text


def _below_a_path(site: str) -> str:
    """Do what the example's comment tells to do for a site below a path."""
    advice = re.search(r"Below a path of the site: `(.+)`, `(.+)` and here (\S+)\.", site)
    assert advice is not None
    changes = {
        "location / ": f"{advice[1]} ",
        "proxy_pass http://carryall;": advice[2],
        'X-Forwarded-Prefix "";': f"X-Forwarded-Prefix {advice[3]};",
    }
    return _changed(site, changes)


_FORMS: dict[str, Callable[[str], str]] = {
    "nginx": lambda site: site,
    "buffering nginx": lambda site: _changed(site, {"proxy_request_buffering off": "proxy_request_buffering on"}),
    "sub-path": _below_a_path,
}
