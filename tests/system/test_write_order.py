"""In which order a running server asks the kernel for things, before it says that something is kept (fault 9)."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from tests.servers.ports import free_port
from tests.wire.conftest import ADMIN_TOKEN, AUDIENCE, ISSUER, PUBLIC_PEM, make_jwt

CALLS = "fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat,write,writev,sendto,sendmsg"
SAY = "write writev sendto sendmsg"
# Steps: which calls, and on what.
NAME = "fsync", r"/staging/\w\w>"
BYTES = "fsync fdatasync", r"/staging/\w\w/[\w-]+\.\d+\.\d+>"
JOINED = "fsync fdatasync", r"/staging/\w\w/[\w-]+\.joined"
PART_LINKED = "link linkat", r"/staging/.*/staging/"
LINKED = "link linkat rename renameat renameat2", r"/files/\w\w/[\w-]+\""
STORED = "fsync", r"/files/\w\w>"
ROW = "fdatasync fsync", r"/catalog\.db-wal>"
ERASED = "unlink unlinkat", r"/files/\w\w/"
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
DATA = b"x" * 300_000
ONE_LINE = re.compile(r"^(\d+) +(\w+)\((.*?)(?:\) += .*| <unfinished \.\.\.>)$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")


class Trace:
    """The calls of a process and its threads: name, arguments, and the lines on which each began and ended."""

    def __init__(self, text: str) -> None:
        self.calls: list[tuple[str, str, int, int]] = []
        open_calls: dict[str, tuple[str, str, int]] = {}
        for number, line in enumerate(text.splitlines()):
            if resumed := RESUMED.match(line):
                name, arguments, began = open_calls.pop(resumed[1])
                self.calls.append((name, arguments, began, number))
            elif found := ONE_LINE.match(line):
                if line.endswith("<unfinished ...>"):
                    open_calls[found[1]] = (found[2], found[3], number)
                else:
                    self.calls.append((found[2], found[3], number, number))

    def after(self, line: int, names: str, pattern: str) -> tuple[int, int]:
        """Give where the first of these calls with such arguments began and ended, of those that began after a line."""
        for name, arguments, began, ended in sorted(self.calls, key=lambda call: call[2]):
            if began > line and name in names.split() and re.search(pattern, arguments):
                return began, ended
        raise AssertionError(f"no {names} of {pattern} after line {line}")

    def has(self, line: int, names: str, pattern: str) -> bool:
        """Tell whether there was such a call after a line."""
        return any(
            began > line and name in names.split() and re.search(pattern, arguments)
            for name, arguments, began, _ in self.calls
        )


class Traced:
    """A server under strace, and where in the trace the last answer stands."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self._path = path
        _, self.answered = self._told(-1, 200).after(-1, SAY, r"HTTP/1\.1 200")  # that it is ready

    def client(self) -> httpx2.Client:
        """Give a client that may do everything."""
        return httpx2.Client(base_url=self.url, timeout=30, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})

    def trace(self) -> Trace:
        """Give what was traced so far."""
        return Trace(self._path.read_text(errors="replace"))

    def _told(self, line: int, status: int) -> Trace:
        """Give what was traced up to an answer, which strace may write down after the client has it."""
        deadline = time.monotonic() + 10
        while not (trace := self.trace()).has(line, SAY, rf"HTTP/1\.1 {status}") and time.monotonic() < deadline:
            time.sleep(0.01)
        return trace

    def expect(self, answer: httpx2.Response, status: int, *steps: tuple[str, str]) -> None:
        """See that since the last answer each step ended before the next began, and all before this answer began."""
        assert status == answer.status_code, answer.text
        trace, at = self._told(self.answered, status), self.answered
        for names, pattern in steps:
            _, at = trace.after(at, names, pattern)
        said, ended = trace.after(self.answered, SAY, rf"HTTP/1\.1 {status}")
        assert at < said
        self.answered = ended


@pytest.fixture
def start_traced(tmp_path: Path, require_program: Callable[[str], str]) -> Iterator[Callable[..., Traced]]:
    """Run a server under strace, with settings of its own."""
    command = [require_program("strace"), "-f", "-y", "-s", "32", "--seccomp-bpf", "-o", tmp_path / "trace"]
    running: list[subprocess.Popen[bytes]] = []

    def start(**settings: str) -> Traced:
        port = free_port()
        url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
        known = {
            "CARRYALL_ADMIN_TOKEN": ADMIN_TOKEN,
            "CARRYALL_DATA_DIR": str(tmp_path / "data"),
            "MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM,
            "EXPECTED_JWT_ISSUER": ISSUER,
            "EXPECTED_JWT_AUDIENCE": AUDIENCE,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "-e", f"trace={CALLS}", sys.executable, "-m", "carryall", "serve", "--port", str(port)],
                env=os.environ | known | settings,
                cwd=tmp_path,
                stdout=output,
                stderr=output,
            )
        running.append(process)
        _wait_until_ready(url, process, log)
        return Traced(url, tmp_path / "trace")

    yield start
    for process in running:
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGTERM)  # strace ends when the server does
        process.wait(30)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if 200 == httpx2.get(f"{url}/ready", timeout=20).status_code:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    if process.poll() is not None and "ptrace" in log.read_text().lower():
        pytest.skip("this machine doesn't let programs be traced")
    raise AssertionError(log.read_text())


def _begin(client: httpx2.Client, **headers: str) -> httpx2.Response:
    return client.post("/files/", headers={**TUS, **{name.replace("_", "-"): text for name, text in headers.items()}})


def _patch(client: httpx2.Client, url: str, offset: int, data: bytes) -> httpx2.Response:
    return client.patch(url, content=data, headers={**TUS, "Upload-Offset": str(offset)})


def test_a_file_is_durable_before_it_is_acknowledged(start_traced: Callable[..., Traced]) -> None:
    """The name of the bytes and the bytes, then the file's name and its folder, then the row, and then the 201."""
    server = start_traced()
    with server.client() as client:
        put = client.put("/v1/by-name/order.bin", content=DATA)
        server.expect(put, 201, NAME, BYTES, LINKED, STORED, ROW)


def test_an_offset_is_durable_before_it_is_told(start_traced: Callable[..., Traced]) -> None:
    """Each PATCH of a tus upload: the bytes, then the row, then the 204; the last one makes the file on its way."""
    server = start_traced()
    with server.client() as client:
        begun = _begin(client, Upload_Length=str(len(DATA)))
        url = begun.headers["location"]
        server.expect(begun, 201, ROW)
        server.expect(_patch(client, url, 0, DATA[:1000]), 204, NAME, BYTES, ROW)
        server.expect(_patch(client, url, 1000, DATA[1000:5000]), 204, BYTES, ROW)
        server.expect(_patch(client, url, 5000, DATA[5000:]), 204, BYTES, ROW, LINKED, STORED, ROW)


def test_parts_are_joined_before_their_file_is_told(start_traced: Callable[..., Traced]) -> None:
    """Parts are linked to the final upload, and the folder synced, before its row; then they are joined and stored."""
    server = start_traced()
    with server.client() as client:
        urls = []
        for data in (DATA[:7000], DATA[7000:]):
            begun = _begin(client, Upload_Length=str(len(data)), Upload_Concat="partial")
            urls.append(begun.headers["location"])
            server.expect(begun, 201, ROW)
            server.expect(_patch(client, urls[-1], 0, data), 204, NAME, BYTES, ROW)
        final = _begin(client, Upload_Concat="final;" + " ".join(urls))
        server.expect(final, 201, ROW, PART_LINKED, PART_LINKED, NAME, ROW, JOINED, LINKED, STORED, ROW)


def test_chunks_are_joined_before_their_file_is_told(start_traced: Callable[..., Traced]) -> None:
    """A chunk is synced before its row; completing syncs what was joined before it is stored."""
    server = start_traced()
    with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {make_jwt()}"}, timeout=30) as client:
        begun = client.post("/upload/init", json={"main_service_file_id": 9, "original_file_name": "a.bin"})
        session = begun.json()["data"]["upload_session_id"]
        server.expect(begun, 200, ROW)
        for index in (1, 0):
            fields = {"upload_session_id": session, "chunk_index": str(index)}
            sent = client.post("/upload/chunk", data=fields, files={"chunk": ("blob", DATA)})
            server.expect(sent, 200, NAME, BYTES, ROW)
        told = {"upload_session_id": session, "total_chunks": 2, "main_service_file_id": 9}
        server.expect(client.post("/upload/complete", json=told), 200, JOINED, LINKED, STORED, ROW)


def test_a_row_goes_before_its_bytes(start_traced: Callable[..., Traced]) -> None:
    """A deletion is synced in the log before it is answered, and before the first byte of the file is erased."""
    server = start_traced()
    with server.client() as client:
        server.expect(client.put("/v1/by-name/gone.bin", content=DATA), 201, STORED, ROW)
        before = server.answered
        server.expect(client.delete("/v1/by-name/gone.bin"), 204, ROW)
        deadline = time.monotonic() + 20
        while not server.trace().has(before, *ERASED):
            assert time.monotonic() < deadline, "nothing was erased"
            time.sleep(0.05)
        trace = server.trace()
        _, row_synced = trace.after(before, *ROW)
        assert row_synced < trace.after(before, *ERASED)[0]


def test_relaxed_durability_waits_for_no_sync(start_traced: Callable[..., Traced]) -> None:
    """With CARRYALL_DURABILITY=relaxed the file's name still comes before the answer, and nothing is synced."""
    server = start_traced(CARRYALL_DURABILITY="relaxed")
    with server.client() as client:
        server.expect(client.put("/v1/by-name/first.bin", content=DATA), 201, LINKED)  # the first row begins the log
        before = server.answered
        server.expect(client.put("/v1/by-name/order.bin", content=DATA), 201, LINKED)
        begun = _begin(client, Upload_Length=str(len(DATA)))
        server.expect(begun, 201)
        server.expect(_patch(client, begun.headers["location"], 0, DATA), 204, LINKED)
        assert not server.trace().has(before, "fsync fdatasync", "/(staging|files|catalog)")
