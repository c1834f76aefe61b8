"""kill -9 around a delivery: the copy is brought once, told of once, and nothing else is left anywhere."""

import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest
from tests.crash import inside
from tests.crash.victim import MortalVictim, bearer

from carryall.stores.local import LocalStore


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MortalVictim]:
    """A server with a second store."""
    folder = tmp_path_factory.mktemp("deliveries")
    settings = {"CARRYALL_STORE_B_KIND": "local", "CARRYALL_STORE_B_ROOT": str(folder / "b")}
    LocalStore("b", folder / "b").prepare()  # a mortal store isn't known for one that has folders
    server = MortalVictim(folder, settings=settings)
    server.start()
    yield server
    server.stop()


def sent(victim: MortalVictim, headers: dict[str, str], content: bytes) -> str:
    """Send a file until there is one; give its id."""
    with httpx2.Client(base_url=victim.url, timeout=20, headers=headers) as client:
        with suppress(httpx2.TransportError):  # it may end before it answers
            client.post("/v1/files?name=a&service=local,b", content=content)
        assert -signal.SIGKILL == victim.end()
        victim.disarm()
        victim.start()
        (file,) = client.get("/v1/files").json()["files"]
    return str(file["id"])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", ["carrying", "carried", "arrived"])
def test_killed_while_a_file_is_delivered(victim: MortalVictim, point: str) -> None:
    """Before the put, between it and the copy's row, and before the job is done: the next life ends it."""
    content, headers = secrets.token_bytes(100_000), bearer(f"u{secrets.token_hex(6)}")
    victim.arm(point, 1)

    file_id = sent(victim, headers, content)

    with httpx2.Client(base_url=victim.url, timeout=20, headers=headers) as client:
        deadline = time.monotonic() + 20
        while not client.get(f"/v1/files/{file_id}").json()["is_delivered"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (copy,) = (one for one in client.get(f"/v1/files/{file_id}").json()["copies"] if one["store"] == "b")
    assert (1 if point == "arrived" else 2) == copy["attempts"]
    assert 1 == [path.read_bytes() for path in (victim.folder / "b").rglob("*") if path.is_file()].count(content)
    assert 1 == inside.told_of(victim.environment, file_id).count("copy.stored")
    assert [] == inside.sweep(victim.environment).findings
