"""curl: downloads that break off and go on, and resumable uploads as docs/resumable.md writes them down."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "resumable.md"
DEADLINE_S = 20

Curl = Callable[..., subprocess.CompletedProcess[bytes]]
FRONTS = ["one process", "two processes", "nginx", "buffering nginx", "sub-path"]
everywhere = pytest.mark.parametrize("target", FRONTS, indirect=True)


@pytest.fixture
def curl(require_program: Callable[[str], str], target: Any, tmp_path: Path) -> Curl:
    """Run curl as the user."""
    program = require_program("curl")

    def run(*arguments: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
        who = ["-H", f"Authorization: Bearer {target.token}"]
        return subprocess.run([program, "-sS", *who, *arguments], cwd=tmp_path, capture_output=True, check=check)

    return run


def broken_off(arguments: list[str], is_begun: Callable[[], bool]) -> None:
    """Start a program, and kill it and what it started once it has begun."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + DEADLINE_S
    while not is_begun() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it could be broken off"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@everywhere
def test_a_download_goes_on(curl: Curl, target: Any, photo: Path, tmp_path: Path) -> None:
    """A download that broke off goes on with `-C -` where it stopped, and the file is whole."""
    sent = json.loads(curl("-T", str(photo), f"{target.url}/v1/by-name/photo.bin", check=True).stdout)
    url, got = sent["url"], tmp_path / "got.bin"
    assert url.startswith(target.url)
    who = f"Authorization: Bearer {target.token}"
    with subprocess.Popen(
        ["curl", "-sS", "-H", who, url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        held = got.write_bytes(process.stdout.read(500_001))
        process.kill()
    rest = curl("-C", "-", "-o", str(got), "-w", "%{http_code} %{size_download}", url, check=True).stdout.decode()

    assert f"206 {photo.stat().st_size - held}" == rest
    assert photo.read_bytes() == got.read_bytes()


def test_a_whole_download_has_nothing_left(curl: Curl, target: Any, tmp_path: Path) -> None:
    """`-C -` on a file that is whole gets 416 with the size, which curl takes for done."""
    sent = json.loads(curl("--data-binary", "whole", f"{target.url}/v1/files?name=a.txt", check=True).stdout)
    (tmp_path / "a.txt").write_text("whole")
    again = curl("-C", "-", "-o", "a.txt", "-w", "%{http_code}", sent["url"])

    assert b"416" == again.stdout
    assert "whole" == (tmp_path / "a.txt").read_text()


def test_an_upload_in_parts_is_no_put(curl: Curl, target: Any, photo: Path) -> None:
    """`-C` with an upload sends the file's rest by PUT: that is refused, or it would take the place of the whole."""
    url = f"{target.url}/v1/by-name/whole.bin"
    curl("-T", str(photo), url, check=True)
    part = curl("-T", str(photo), "-C", "1000000", "-w", "%{http_code}", url)

    assert part.stdout.endswith(b"400")
    assert b"content_range_refused" in part.stdout
    assert photo.read_bytes() == curl(url, check=True).stdout


@everywhere
def test_the_document_resumes(target: Any, photo: Path, tmp_path: Path) -> None:
    """What docs/resumable.md tells to type uploads a file, also when curl was killed on the way."""
    (tmp_path / "film.mp4").write_bytes(photo.read_bytes())
    begin, send = _typed(target)
    url = _sh(f'{begin}\necho "$URL"', tmp_path).splitlines()[-1]
    slow = send.replace("| curl", "| (head -c 2000000; sleep 60) | curl")  # it can't end before it is broken off
    assert slow != send
    script = f"TOKEN={target.token}; URL={url}\n"
    broken_off(["sh", "-c", f"cd {tmp_path}\n{script}{slow}"], lambda: _is_receiving(target, url))
    _sh(script + send, tmp_path)

    assert photo.read_bytes() == target.file(url)
    assert "film.mp4" in target.names()


def _typed(target: Any) -> tuple[str, str]:
    """Give the two commands of the document: to begin, and to send what is missing."""
    block = re.search(r"^## With curl$.*?^```sh$(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    text = block[1].replace("https://files.example.org", target.url).replace("TOKEN=…", f"TOKEN={target.token}")
    begin, _, send = text.partition("\n\n")
    return begin, send


def _sh(script: str, folder: Path) -> str:
    done = subprocess.run(["sh", "-ec", script], cwd=folder, capture_output=True, timeout=40, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def _is_receiving(target: Any, url: str) -> bool:
    """Tell whether bytes have come: to a server, which isn't asked, since that sends the writer away, or to nginx."""
    staged = target.folder.glob(f"*/data/staging/*/{url.rpartition('/')[2]}*")
    return any(_size(path) > 300_000 for path in (*staged, *_buffered(target.folder)))


def _buffered(folder: Path) -> Iterator[Path]:
    """Give what nginx holds back: files without a name, which only its descriptors lead to."""
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # one that has just gone
            if str(descriptor.readlink()).startswith(f"{folder}/nginx/client_body/"):
                yield descriptor


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # one that has just gone
        return path.stat().st_size
    return 0
