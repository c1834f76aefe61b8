"""No file descriptors are left: refused or 503, no half file, and back by itself (fault 20)."""

import random
import resource
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
from tests.faults.conftest import Server, until
from tests.faults.doors import DOORS, Told, check_kept, is_honest

MakeServer = Callable[..., Server]
_FEW = 24  # more than are open already


def _open_count(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_files_that_cant_be_opened(make_server: MakeServer) -> None:
    """Where a connection is let in and its file can't be opened the answer is 503, and nothing of it is kept."""
    server, told, dice = make_server(), Told(), random.Random(20)
    with server.client() as client:
        for door in DOORS:
            door(client, told, dice)
        before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (_open_count(server), before[1]))
        for door in DOORS * 2:
            with suppress(httpx2.TransportError):  # refused: a connection takes a descriptor, too
                door(client, told, dice)

        assert told.refusals
        assert all(is_honest(answer) for answer in told.refusals), [answer.text for answer in told.refusals]
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
        check_kept(client, told)
    assert not server.doctor()


def test_connections_that_cant_be_accepted(make_server: MakeServer) -> None:
    """Too many connections wait or are refused; when they go the server serves again, without a restart."""
    server, told, dice = make_server(), Told(), random.Random(21)
    limit = _open_count(server) + _FEW
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    with ExitStack() as idle:
        for _ in range(limit + 20):
            idle.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        until(lambda: _open_count(server) >= limit - 1, "the connections weren't taken")

    def is_back() -> bool:
        try:
            return httpx2.get(f"{server.url}/health", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False

    assert until(is_back, "it didn't come back") < 10
    with server.client() as client:
        for door in DOORS:
            door(client, told, dice)
        assert all(is_honest(answer) for answer in told.refusals)
        check_kept(client, told)
    assert not server.doctor()
