"""A page in a real browser, of another origin than the server: Uppy with its tus plugin, and blobs' WebSocket."""

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

MB = 1_000_000
TIMEOUT_MS = 40_000
BEFORE_TWO = ["two processes", "nginx", "buffering nginx", "sub-path"]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(node_folder: Path, require_program: Callable[[str], str]) -> Iterator[str]:
    """Serve the page from an origin of its own; give its address."""
    bundle = ["node_modules/esbuild/bin/esbuild", "page.mjs", "--bundle", "--outfile=page.js", "--log-level=error"]
    subprocess.run([require_program("node"), *bundle], cwd=node_folder, check=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(node_folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/page.html"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(require_program: Callable[[str], str]) -> Iterator[Browser]:
    """A browser. Of the module: while it runs, no test of the same process can have an event loop."""
    program = require_program("chromium-headless-shell")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=sandbox)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """The page, with nothing remembered from others."""
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(site)
    yield opened
    context.close()


def uploaded(page: Page) -> str:
    """Wait for the end of an upload; give its URL."""
    page.wait_for_function("told.url || told.error", timeout=TIMEOUT_MS)
    told = page.evaluate("told")
    assert told["error"] is None
    return str(told["url"])


def limit_upload(page: Page, bytes_per_s: int) -> None:
    """Make the network slow; -1 for as fast as it is."""
    network = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_s}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", network)


@pytest.mark.parametrize("target", BEFORE_TWO, indirect=True)
def test_uppy_goes_on_after_a_reload(page: Page, target: Any, photo: Path) -> None:
    """A page that is reloaded in the middle of an upload goes on where it was, when the same file is chosen again."""
    options = {"endpoint": f"{target.url}/files/", "headers": dict(target.headers), "chunkSize": MB}
    methods: list[str] = []
    page.on("request", lambda one: methods.append(one.method) if one.url.startswith(target.url) else None)
    limit_upload(page, 3 * MB)
    page.evaluate("options => withUppy(options)", options)
    page.set_input_files("#file", photo)
    page.wait_for_function("told.sent > 2500000 || told.error", timeout=TIMEOUT_MS)
    page.reload()
    limit_upload(page, -1)
    before, methods[:] = list(methods), []
    page.evaluate("options => withUppy(options)", options)
    page.set_input_files("#file", photo)
    url = uploaded(page)

    assert "POST" in before
    assert "POST" not in methods
    assert 2 <= methods.count("PATCH") <= 5  # of seven
    assert photo.read_bytes() == target.file(url)
    assert ["photo.bin"] == target.names()


@pytest.mark.parametrize("target", ["one process", "nginx"], indirect=True)
def test_uppy_in_parts_at_once(page: Page, target: Any, photo: Path) -> None:
    """Uppy uploads in three parallel parts, which become one file."""
    options = {"endpoint": f"{target.url}/files/", "headers": dict(target.headers), "parallelUploads": 3}
    page.evaluate("options => withUppy(options)", options)
    page.set_input_files("#file", photo)

    assert photo.read_bytes() == target.file(uploaded(page))


@pytest.mark.parametrize("target", ["one process", *BEFORE_TWO], indirect=True)
def test_the_described_socket(page: Page, target: Any, photo: Path) -> None:
    """The described user interface uploads a file by its WebSocket."""
    address = target.url.replace("http://", "ws://") + "/upload_socket"
    page.evaluate("([address, token]) => withSocket(address, token)", [address, target.token])
    page.wait_for_function("told.messages.length == 1 || told.error", timeout=TIMEOUT_MS)
    page.set_input_files("#file", photo)
    url = uploaded(page)

    assert url.startswith(f"{target.url}/s/")
    assert page.evaluate("told.messages[0]").startswith("user is: erin-")
    assert photo.read_bytes() == httpx2.get(url).content
