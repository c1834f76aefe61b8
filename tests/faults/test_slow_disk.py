"""A slow disk slows its uploads, and nobody else; memory stays flat however fast the clients send (faults 8 and 21)."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.conftest import Pulse, Server
from tests.faults.doors import DOORS, Door, Told, check_kept, put

MakeServer = Callable[..., Server]
MIB = 1 << 20
_UPLOADS = 4


def _peak_bytes(server: Server) -> int:
    """Give the most memory that the server ever had, in bytes (Linux)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("under", "doors"), [("/staging/", DOORS), pytest.param("", (put,), marks=pytest.mark.crash_long)]
)
def test_no_write_happens_in_the_event_loop(make_server: MakeServer, under: str, doors: tuple[Door, ...]) -> None:
    """With 100 ms for each write and sync every door works, and /health answers within a second."""
    server, told, dice = make_server(), Told(), random.Random(8)
    server.disk.arm(delay_s=0.1, under=under)

    def send(door: Door) -> None:
        with server.client() as client:
            door(client, told, dice)

    with Pulse(server.url) as pulse, ThreadPoolExecutor(len(doors)) as clients:
        list(clients.map(send, doors))
    server.disk.arm()

    assert pulse.count
    assert pulse.longest_s < 1
    assert not told.refusals
    with server.client() as client:
        check_kept(client, told)


@pytest.mark.timeout(120)
def test_fast_clients_on_a_slow_disk_take_no_memory(make_server: MakeServer) -> None:
    """At most 150 MB, and 8 MB for each upload: the socket waits for the disk."""
    server, data = make_server(), random.Random(21).randbytes(20 * MIB)
    server.disk.arm(delay_s=0.005)

    def send(number: int) -> int:
        with server.client() as client:
            return client.put(f"/v1/by-name/{number}", content=data, timeout=90).status_code

    with Pulse(server.url) as pulse, ThreadPoolExecutor(_UPLOADS) as clients:
        statuses = list(clients.map(send, range(_UPLOADS)))

    assert [201] * _UPLOADS == statuses
    assert pulse.longest_s < 1
    assert _peak_bytes(server) < 150 * MIB + _UPLOADS * 8 * MIB
