"""In which order a running server asks the kernel for things, before it says that a file is kept (fault 9)."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

TOKEN = "write-order-admin-token"
CALLS = "fsync,fdatasync,link,linkat,rename,renameat,renameat2,write,writev,sendto,sendmsg"
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


@pytest.fixture
def traced(tmp_path: Path, require_program: Callable[[str], str]) -> Iterator[tuple[str, Path]]:
    """Run a server under strace; give its URL and the trace."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    trace, log = tmp_path / "trace", tmp_path / "log"
    command = [require_program("strace"), "-f", "-y", "-s", "32", "--seccomp-bpf", "-o", trace, "-e", f"trace={CALLS}"]
    settings = {"CARRYALL_ADMIN_TOKEN": TOKEN, "CARRYALL_DATA_DIR": str(tmp_path / "data")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, sys.executable, "-m", "carryall", "serve", "--port", str(port)],
            env=os.environ | settings,
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}", trace
    finally:
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGTERM)  # strace ends when the server does
        process.wait(30)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if 200 == httpx2.get(f"{url}/ready", timeout=2).status_code:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    if process.poll() is not None and "ptrace" in log.read_text().lower():
        pytest.skip("this machine doesn't let programs be traced")
    raise AssertionError(log.read_text())


def test_a_file_is_durable_before_it_is_acknowledged(traced: tuple[str, Path]) -> None:
    """The bytes, then the name, then the directory, then the row's log, and then the first byte of the 201."""
    url, trace_path = traced
    answer = httpx2.put(
        f"{url}/v1/by-name/order.bin", content=b"x" * 300_000, headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert 201 == answer.status_code
    trace = Trace(trace_path.read_text(errors="replace"))

    name, name_synced = trace.after(-1, "fsync", r"/staging/\w\w>")
    data, data_synced = trace.after(name_synced, "fsync fdatasync", r"/staging/\w\w/\w+\.0\.0>")
    link, linked = trace.after(data_synced, "link linkat rename renameat renameat2", r"/files/\w\w/\w+\"")
    directory, directory_synced = trace.after(linked, "fsync", r"/files/\w\w>")
    row, row_synced = trace.after(directory_synced, "fdatasync fsync", r"/catalog\.db-wal>")
    said, _ = trace.after(-1, "write writev sendto sendmsg", r"HTTP/1\.1 201")

    order = [name, name_synced, data, data_synced, link, linked, directory, directory_synced, row, row_synced, said]
    assert sorted(order) == order
