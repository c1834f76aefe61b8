"""What the server does on every surface: proxies, static files, probes, metrics, downloads that are cut."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_only_trusted_proxies_say_how_the_client_came(make_server: Callable[..., Any]) -> None:
    """Links are https and HSTS is sent when a trusted proxy says so; from anybody else it is ignored (threat 24)."""
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "files.example"}
    trusting, wary = make_server(CARRYALL_TRUSTED_PROXIES="127.0.0.1"), make_server()
    links = []
    for server in (trusting, wary):
        with server.client() as client:
            sent = client.post("/upload?fileName=a", content=b"a", headers={**server.service, **forwarded})
            links.append((sent.json()["link"].split("/d/")[0], "strict-transport-security" in sent.headers))

    assert [("https://files.example", True), (wary.url, False)] == links


def test_static_files_are_the_operators_own(make_server: Callable[..., Any], tmp_path: Path) -> None:
    """A folder of static files is served at /static with a policy that lets its pages work; nothing else is."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>ours</h1>")
    server = make_server(CARRYALL_WEB_DIR=str(folder))
    with server.client() as client:
        page = client.get("/static/index.html")
        outside = client.get("/static/../data/catalog.db")

    assert (200, "<h1>ours</h1>") == (page.status_code, page.text)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert 404 == outside.status_code


@pytest.mark.parametrize("path", ["/health", "/ready", "/ping", "/status", "/"])
def test_probes_are_answered_without_a_token(server: Any, path: str) -> None:
    """Load balancers ask with GET or HEAD, and carry no token."""
    with server.client() as client:
        assert 200 == client.get(path).status_code
        if path != "/status":
            assert 200 == client.head(path).status_code


def test_metrics_count_what_happened(make_server: Callable[..., Any]) -> None:
    """Uploads by door and outcome, refusals for want of room, and bytes show up; strangers need a token."""
    server = make_server(TOTAL_SIZE_LIMIT_MB="1", CARRYALL_TRUSTED_PROXIES="127.0.0.1")
    _, user = server.new_user()
    with server.client() as client:
        client.post("/upload?fileName=a", content=bytes(1000), headers=server.service)
        full = client.post("/upload", files={"file": ("a", bytes(2 << 20))}, headers=user)
        page = client.get("/metrics").text
        stranger = client.get("/metrics", headers={"X-Forwarded-For": "198.51.100.7"})
        admin = client.get("/metrics", headers={"X-Forwarded-For": "198.51.100.7", **server.admin})

    assert 413 == full.status_code
    assert 'carryall_uploads_total{door="relay",outcome="stored"} 1.0' in page
    assert 'carryall_stored_bytes_total{door="relay"} 1000.0' in page
    assert 'carryall_quota_refusals_total{kind="user"} 1.0' in page
    assert 'carryall_job_queue{kind="expire",state="queued"} 1.0' in page
    assert (401, 200) == (stranger.status_code, admin.status_code)


def test_a_download_that_breaks_off_is_not_counted(server: Any) -> None:
    """A client that leaves in the middle didn't download; one that reads to the end did."""
    _, headers = server.new_user()
    with server.client() as client:
        sent = client.post("/upload", files={"file": ("a.bin", bytes(9_000_000))}, headers=headers).json()
        path = "/s/" + sent["file_id"]
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as leaver:
            leaver.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert leaver.recv(1000).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)  # nothing tells when the server has noticed; it must not count meanwhile or later
        broken = client.get(f"{path}?output=json").json()["download_times"]
        client.get(path)
        whole = client.get(f"{path}?output=json").json()["download_times"]

    assert (0, 1) == (broken, whole)
