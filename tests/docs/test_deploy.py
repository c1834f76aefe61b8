"""docs/deploy.md and its examples: what they tell to do works."""

import configparser
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SITE = "files.example.org"
SERVICE_TOKEN = "deploy-tests-service-token"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\6\0\0\0\x1f\x15\xc4\x89"


def test_a_backup_of_a_running_server_is_whole(
    tmp_path: Path,
    fenced: Callable[[str, str], list[str]],
    serve: Callable[..., Any],
    shell: Callable[[str, Path], str],
) -> None:
    """The commands of the backup, run beside a server, give a folder in which the doctor finds nothing wrong."""
    server = serve(tmp_path, AUTH_TOKEN=SERVICE_TOKEN)
    with httpx2.Client(base_url=server.url, headers={"X-Auth-Token": SERVICE_TOKEN}, timeout=20) as client:
        for name in ("one", "two"):
            assert client.post("/upload", files={"file": (name, name.encode())}).status_code == 200
    back_up, look = fenced("docs/deploy.md", "sh")
    shell(back_up, tmp_path)

    assert "" == shell(look, tmp_path)  # no finding; the summary goes to standard error
    kept = [path.read_bytes() for path in (tmp_path / "backup" / "files").rglob("*") if path.is_file()]
    assert [b"one", b"two"] == sorted(kept)


def test_the_unit_starts_our_command(root: Path) -> None:
    """The unit runs `carryall serve`, not as root, with its data in the folder that systemd makes for it."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names of systemd differ in case
    unit.read_string((root / "examples/systemd/carryall.service").read_text("utf-8"))
    service = unit["Service"]

    assert service["ExecStart"].endswith("/bin/carryall serve")
    assert "carryall" == service["User"]
    assert f"CARRYALL_DATA_DIR=/var/lib/{service['StateDirectory']}" == service["Environment"]
    assert 2 * 30 < int(service["TimeoutStopSec"])  # requests and jobs may each take CARRYALL_SHUTDOWN_GRACE_S


@pytest.fixture
def proxied(
    root: Path,
    tmp_path: Path,
    serve: Callable[..., Any],
    free_port: Callable[[], int],
    require_program: Callable[[str], str],
) -> Iterator[httpx2.Client]:
    """Give a client of nginx with the example's site, in front of a server that trusts it."""
    nginx = require_program("nginx")
    server = serve(tmp_path, AUTH_TOKEN=SERVICE_TOKEN, CARRYALL_TRUSTED_PROXIES="127.0.0.1")
    port = free_port()
    changes = {
        "127.0.0.1:8000": server.url.removeprefix("http://"),
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "listen 80": f"listen 127.0.0.1:{free_port()}",
        f"/etc/letsencrypt/live/{SITE}": str(tmp_path),
    }
    _write_certificate(tmp_path)
    site = (root / "examples/nginx/carryall.conf").read_text("utf-8")
    for theirs, ours in changes.items():
        assert theirs in site
        site = site.replace(theirs, ours)
    lines = [line for line in site.splitlines() if "listen [::]" not in line]  # not every machine has IPv6
    process = _start_nginx(nginx, tmp_path, "\n".join(lines))
    with httpx2.Client(
        base_url=f"https://127.0.0.1:{port}", headers={"Host": SITE}, verify=False, timeout=20
    ) as client:
        _wait(client, process)
        yield client
    process.terminate()
    process.wait(timeout=10)


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, SITE)])
    now = datetime.fromtimestamp(time.time(), UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    signed = made.sign(key, hashes.SHA256())
    (folder / "fullchain.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _start_nginx(nginx: str, folder: Path, site: str) -> subprocess.Popen[bytes]:
    temporary = "".join(
        f"{kind}_temp_path {folder}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""  # its workers have to reach this test's folder
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{site}\n}}\n"
    )
    return subprocess.Popen([nginx, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)


def _wait(client: httpx2.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/ready").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError("nginx did not start")


def test_uploads_pass_through_nginx(proxied: httpx2.Client) -> None:
    """Behind the example's nginx large bodies pass, links are the site's own, and refusals come through as they are."""
    data = os.urandom(20_000_000)
    token = {"X-Auth-Token": SERVICE_TOKEN}
    sent = proxied.post("/upload", files={"file": ("a.bin", data)}, headers=token)
    wrong = {"X-Auth-Token": "wrong", "Connection": "close"}  # nginx ends a connection whose body nobody wanted
    refused = proxied.post("/upload", files={"file": ("a.bin", data[:3_000_000])}, headers=wrong)
    shown = proxied.post("/api/upload", files={"files": ("dot.png", PNG)})
    link = sent.json()["link"]

    assert link.startswith(f"https://{SITE}/d/")
    assert data == proxied.get(link.removeprefix(f"https://{SITE}")).content
    assert (403, "token_invalid") == (refused.status_code, refused.json()["code"])
    assert shown.json()["data"][0]["preview_url"].startswith(f"https://{SITE}/uploads/")
    assert 404 == proxied.get("/metrics").status_code
    assert "max-age" in sent.headers["Strict-Transport-Security"]
