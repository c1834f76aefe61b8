"""The network breaks in the middle of a PATCH: cut, reset, stalled, or back from the dead (fault 15)."""

import contextlib
import os
import random
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.wire.proxy import Proxy
from tests.wire.speakers import PROTOCOLS, Speaker, status_of

MIB = 1 << 20
DATA = random.Random(15).randbytes(2 * MIB)
PASSED = 3 * MIB // 2  # bytes that get through before the fault


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def cut(request: pytest.FixtureRequest, make_module_server: Callable[..., Any]) -> Any:
    """A server whose connections break."""
    return make_module_server(CARRYALL_WORKERS=request.param)


@pytest.fixture(params=PROTOCOLS)
def speaker(request: pytest.FixtureRequest, cut: Any) -> Speaker:
    """A client of a protocol."""
    return Speaker(request.param, cut.port, cut.bearer(cut.jwt(f"cut-{secrets.token_hex(4)}")))


@pytest.fixture
def make_proxy(cut: Any) -> Iterator[Callable[..., Proxy]]:
    """Make a proxy in front of the server."""
    made: list[Proxy] = []

    def make(fault: str, after_bytes: int) -> Proxy:
        made.append(Proxy(cut.port, fault, after_bytes))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def shove(peer: socket.socket, data: bytes) -> None:
    """Send what can be sent; the other side may be gone."""
    with contextlib.suppress(OSError):
        peer.sendall(data)


@pytest.mark.parametrize("fault", ["fin", "rst", "stall", "zombie"])
def test_what_arrived_before_the_cut_is_kept(speaker: Speaker, make_proxy: Callable[..., Proxy], fault: str) -> None:
    """At least 80 % of what the server received counts; it is told within a second, and the resumed file is whole."""
    path = speaker.begin(len(DATA))
    proxy = make_proxy(fault, PASSED)
    with speaker.open(path, 0, len(DATA), len(DATA), port=proxy.port) as peer, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(shove, peer, DATA)
        assert proxy.struck.wait(20)
        began = time.monotonic()
        offset = speaker.offset(path)
        took_s = time.monotonic() - began
        if fault == "zombie":
            assert speaker.send(path, offset, DATA[offset : offset + 1000], len(DATA)) == 204
            offset += 1000
            proxy.wake()
            assert status_of(peer) not in (200, 201, 204)
        proxy.close()
        sending.result()

    assert took_s < 1
    assert PASSED * 8 // 10 <= offset <= len(DATA)
    assert offset == speaker.offset(path)
    assert speaker.send(path, offset, DATA[offset:], len(DATA)) in (200, 201, 204)
    assert DATA == speaker.stored(path)


def test_a_stalled_holder_lets_a_rival_in(speaker: Speaker) -> None:
    """A rival's PATCH at the offset that was sent gets in within a second, also without asking HEAD before."""
    path = speaker.begin(len(DATA))
    with speaker.open(path, 0, len(DATA), len(DATA)) as holder:
        holder.sendall(DATA[:PASSED])
        time.sleep(0.3)  # the holder's silence is the fault
        began = time.monotonic()
        status = speaker.send(path, PASSED, DATA[PASSED:], len(DATA))
        took_s = time.monotonic() - began

    assert status in (200, 201, 204)
    assert took_s < 1
    assert DATA == speaker.stored(path)


def test_cut_again_and_again(speaker: Speaker, make_proxy: Callable[..., Proxy]) -> None:
    """An upload that breaks at every half a megabyte, each time in another way, goes on and ends whole."""
    path, offset, faults = speaker.begin(len(DATA)), 0, 0
    while offset < len(DATA):
        fault = ("rst", "fin", "stall")[faults % 3]
        proxy = make_proxy(fault, 480_000 + 7919 * faults)
        left = len(DATA) - offset
        with speaker.open(path, offset, left, len(DATA), port=proxy.port) as peer, ThreadPoolExecutor(1) as pool:
            pool.submit(shove, peer, DATA[offset:])
            if not proxy.struck.wait(1):  # the rest was shorter than the next fault
                status_of(peer)
            now = speaker.offset(path)
            proxy.close()
        assert now >= offset, "an acknowledged offset went back"
        offset, faults = now, faults + 1
        assert faults < 40

    assert faults >= 4
    assert DATA == speaker.stored(path)


# --- a process that stands still ------------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """Give a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def process_of(server: Any, peer: socket.socket) -> int:
    """Find which of the server's processes has the other end of a connection."""
    ours = f":{peer.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(ours)}
    for pid in family(server.process.pid):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(fd) in inodes:  # noqa: PTH115  # it names no path
                    return pid
    raise AssertionError("nobody has this connection")


def until_told(speaker: Speaker, path: str, within_s: float) -> int:
    """Ask for the offset on new connections, some of which the stopped process may have taken, until it is told."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, AssertionError):
            return speaker.offset(path, wait_s=max(0.1, deadline - time.monotonic()) / 2)
    raise AssertionError(f"no answer within {within_s} s")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stopped_holder_is_succeeded(make_server: Callable[..., Any], protocol: str) -> None:
    """A holder whose process stands still is succeeded within 5 s; woken again it writes nothing."""
    server = make_server(CARRYALL_WORKERS="2")
    speaker = Speaker(protocol, server.port, server.bearer(server.jwt("stopped")))
    path = speaker.begin(len(DATA))
    with speaker.open(path, 0, len(DATA), len(DATA)) as holder:
        holder.sendall(DATA[:PASSED])
        stopped = process_of(server, holder)
        time.sleep(0.3)  # it takes what was sent, and then stands still
        os.kill(stopped, signal.SIGSTOP)
        try:
            began = time.monotonic()
            offset = until_told(speaker, path, 8)
            took_s = time.monotonic() - began
            sent = speaker.send(path, offset, DATA[offset:], len(DATA))
            whole = speaker.stored(path)
        finally:
            os.kill(stopped, signal.SIGCONT)
        shove(holder, DATA[PASSED:])
        late = status_of(holder)

    assert took_s <= 5
    assert offset <= PASSED
    assert sent in (200, 201, 204)
    assert late not in (200, 201, 204)
    assert DATA == whole == speaker.stored(path)
