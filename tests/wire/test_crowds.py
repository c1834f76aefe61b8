"""A thousand slow clients at once: little memory, and everybody else goes on; `make soak` has them all."""

import asyncio
import hashlib
import random
import resource
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from tests.wire.crowd import ask, many, watched
from tests.wire.speakers import PARTIAL, STREAM
from tests.wire.speakers import ask as asked

MIB = 1 << 20
PIECE = 4096
MEMORY_BYTES = 250 * MIB
ARRIVE_PER_S = 100


def request(number: int, who: dict[str, str]) -> tuple[str, str, dict[str, str]]:
    """Give the n-th client's way to send: each protocol in turn. `Content-Length` is the caller's."""
    name = secrets.token_hex(6)
    return (
        ("PUT", f"/v1/by-name/crowd/{name}", who),
        ("POST", "/files/", {**who, "Tus-Resumable": "1.0.0", "Content-Type": STREAM}),
        ("POST", f"/v1/files?filename={name}", {**who, "Upload-Complete": "?1", "Content-Type": PARTIAL}),
        ("POST", f"/v1/files?filename={name}", who),
    )[number % 4]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("clients", "pieces", "pause_s"),
    [(300, 16, 0.3), pytest.param(1000, 60, 1.0, marks=pytest.mark.long)],
    ids=["300", "1000"],
)
async def test_slow_uploads_cost_little(
    make_server: Callable[..., Any], clients: int, pieces: int, pause_s: float
) -> None:
    """All upload at once, slowly, to two workers: 250 MiB in all, a small GET within a second, each file whole.

    They come one after the other, but none is done before the last one has come.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    server = make_server(CARRYALL_WORKERS="2")
    who = server.bearer(server.jwt("crowd"))
    data = [random.Random(number).randbytes(PIECE) for number in range(pieces)]
    total = PIECE * pieces

    async def upload(number: int) -> int:
        await asyncio.sleep(number / ARRIVE_PER_S)
        method, path, headers = request(number, who)
        told = {**headers, "Content-Length": str(total), "Upload-Length": str(total)}
        return (await ask(server.port, method, path, told, data, pause_s=pause_s))[0]

    async with watched(server, "/v1/me", who) as seen:
        statuses = await many(clients, upload, at_once=clients)
    listed = asked(server.port, "GET", "/v1/files?limit=1000", who).json()["files"]
    print(f"{clients} slow uploads: {seen.peak_bytes / MIB:.0f} MiB, slowest GET {max(seen.waits_s):.2f} s")

    assert clients / ARRIVE_PER_S < pieces * pause_s
    assert {201} == set(statuses)
    assert {hashlib.sha256(b"".join(data)).hexdigest()} == {one["sha256"] for one in listed}
    assert clients == len(listed)
    assert seen.peak_bytes <= MEMORY_BYTES
    assert sorted(seen.waits_s)[len(seen.waits_s) * 99 // 100 - 1] <= 1
    assert max(seen.waits_s) <= 5
