"""WebDAV, SFTP and FTP servers over a folder, for stores to be tested on: `rclone serve`, and wsgidav."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers.ports import free_port

from carryall.stores.rclone.daemon import found

PASSWORD = "opensesame"
_READY_S = 20.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A server of a kind, and the folder whose files it serves to the user `carryall`."""

    kind: str
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    def section(self, name: str, *, password: str = PASSWORD, port: int | None = None) -> str:
        """Write the section of rclone's configuration that makes it a remote."""
        lines = ["user = carryall", f"pass = {obscured(password)}"]
        if self.kind == "webdav":
            address = f"http://127.0.0.1:{port or self.port}"
            lines += [f"url = {address}", "vendor = other", "pacer_min_sleep = 0"]  # else 10 ms between two requests
        else:
            lines += ["host = 127.0.0.1", f"port = {port or self.port}"]
        return "\n".join([f"[{name}]", f"type = {self.kind}", *lines, ""])

    def look_again(self) -> None:
        """Have rclone forget what it knows of its folders, after something was put there behind its back."""
        self.process.send_signal(signal.SIGHUP)


def rclone() -> str:
    """Find rclone. It comes from PyPI with the other tools of the tests."""
    path = found(None)
    assert path is not None, "install the extra carryall[rclone]"
    return path


def obscured(password: str) -> str:
    """Write a password as rclone's configuration has it."""
    return subprocess.run([rclone(), "obscure", "-"], input=password, capture_output=True, text=True, check=True).stdout


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[Serving]:
    """Serve a folder with rclone: webdav, sftp or ftp."""
    port, log = free_port(), folder.parent / f"{kind}.log"
    command = [rclone(), "serve", kind, str(folder), f"--addr=127.0.0.1:{port}"]
    command += ["--user=carryall", f"--pass={PASSWORD}", f"--cache-dir={folder.parent / 'cache'}", "--config="]
    with _running(kind, command, port, folder, log) as server:
        yield server


@contextmanager
def serving_by_wsgidav(folder: Path) -> Iterator[Serving]:
    """Serve a folder with WsgiDAV, which has another opinion of WebDAV than rclone. Anybody may come in."""
    port, log = free_port(), folder.parent / "wsgidav.log"
    command = [str(Path(sys.executable).with_name("wsgidav")), "--host=127.0.0.1", f"--port={port}"]
    with _running("webdav", [*command, f"--root={folder}", "--auth=anonymous"], port, folder, log) as server:
        yield server


@contextmanager
def _running(kind: str, command: list[str], port: int, folder: Path, log: Path) -> Iterator[Serving]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait_for(port, process, log)
        yield Serving(kind, port, folder, process)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + _READY_S
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        said = re.sub(r"\s+", " ", log.read_text())
        assert process.poll() is None, f"the server ended: {said}"
        assert time.monotonic() < give_up_at, f"the server doesn't come: {said}"
        time.sleep(0.01)
