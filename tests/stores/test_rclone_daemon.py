"""The rclone behind a store: it is started at first use, replaced when it dies, and never outlives us."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.servers.rclone_serve import Serving, serving

from carryall.model.errors import StoreError
from carryall.stores.rclone.folder import INCOMING
from carryall.stores.rclone.options import RcloneOptions
from carryall.stores.rclone.store import RcloneStore
from carryall.testing.store_contract import FarSource, source, stored_bytes

BIG = 256 << 20
SCRIPT = """
import asyncio, sys
from pathlib import Path
from carryall.stores.rclone.folder import INCOMING
from carryall.stores.rclone.options import RcloneOptions
from carryall.stores.rclone.store import RcloneStore
async def live():
    store = RcloneStore("far", RcloneOptions(sys.argv[1], config=Path(sys.argv[2])))
    await store.ready()
    print("runs", store._daemon.pid, store._daemon._room.folder, flush=True)
    await asyncio.sleep(60)
asyncio.run(live())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Give one server to all tests."""
    folder = tmp_path_factory.mktemp("webdav") / "served"
    folder.mkdir()
    with serving("webdav", folder) as running:
        yield running


def options(server: Serving, tmp_path: Path) -> RcloneOptions:
    config = tmp_path / "rclone.conf"
    config.write_text(server.section("far"))
    return RcloneOptions(f"far:{tmp_path.name}", config=config)


@pytest.fixture
async def store(server: Serving, tmp_path: Path) -> AsyncIterator[RcloneStore]:
    """Give a store in a new folder."""
    made = RcloneStore("far", options(server, tmp_path))
    yield made
    await made.close()


def pid_of(store: RcloneStore) -> int:
    pid = store._daemon.pid
    assert pid is not None
    return pid


def has_begun(incoming: Path) -> bool:
    return any(path.stat().st_size for path in incoming.glob("*"))


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be buried doesn't."""
    try:
        return "Z" != Path(f"/proc/{pid}/stat").read_text().split()[2]
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.002)


def seen_by(pid: int) -> dict[str, str]:
    """Read a process's environment."""
    lines = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(line.split("=", 1) for line in lines if line)


def killed_with_a_store(given: RcloneOptions) -> tuple[int, Path]:
    """Have another process use a store, kill it, and tell which rclone it had, and which folder."""
    command = [sys.executable, "-c", SCRIPT, given.remote, str(given.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) and not line.startswith("runs"):
            pass  # its log
        process.kill()
    _, pid, folder = line.split()
    return int(pid), Path(folder)


async def test_it_starts_at_first_use(store: RcloneStore) -> None:
    """A store that nobody uses costs no process."""
    assert store._daemon.pid is None

    await store.ready()

    assert runs(pid_of(store))


async def test_close_leaves_nothing(store: RcloneStore, tmp_path: Path) -> None:
    """After close no process and no folder is left, however often it is asked."""
    await store.put("key", source(tmp_path, b"x"))
    assert store._daemon._room is not None
    pid, folder = pid_of(store), store._daemon._room.folder
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)

    for _ in range(2):
        await store.close()

    await until(lambda: not runs(pid))
    assert not folder.exists()


async def test_killed_between_two_puts(store: RcloneStore, tmp_path: Path) -> None:
    """Who comes after a daemon's death notices nothing: another one is started."""
    given = source(tmp_path, b"x")
    await store.put("one", given)
    first = pid_of(store)

    os.kill(first, signal.SIGKILL)
    await store.put("two", given)

    assert first != pid_of(store)
    assert ["one", "two"] == sorted([found.location async for found in store.list()])


@pytest.mark.parametrize("is_far", [False, True], ids=["near", "far"])
async def test_killed_in_a_put(store: RcloneStore, server: Serving, tmp_path: Path, *, is_far: bool) -> None:
    """The put fails and may be tried again; the next one works, and nothing of the first can be read."""
    given = source(tmp_path, b"\0" * BIG)
    putting = asyncio.ensure_future(store.put("key", FarSource(given) if is_far else given))
    await until(lambda: has_begun(server.folder / tmp_path.name / INCOMING))

    os.kill(pid_of(store), signal.SIGKILL)

    with pytest.raises(StoreError) as raised:
        await putting
    assert raised.value.retryable
    assert "store_unreachable" == raised.value.stable_code
    assert [] == [found async for found in store.list()]
    await store.put("key", source(tmp_path, b"again", "two"))
    assert b"again" == await stored_bytes(store, "key", 0, 5)


async def test_killed_while_read(store: RcloneStore, tmp_path: Path) -> None:
    """A reader is told that the file broke off; it is never a shorter file."""
    size = 64 << 20
    await store.put("key", source(tmp_path, b"\0" * size))
    reading = await store.open("key", 0, size)
    await anext(aiter(reading))

    os.kill(pid_of(store), signal.SIGKILL)

    with pytest.raises(StoreError) as raised:
        async for _ in reading:
            pass
    assert raised.value.retryable
    await reading.aclose()


async def test_it_dies_with_us(server: Serving, tmp_path: Path) -> None:
    """When our process is killed rclone ends, and who starts next removes its folder."""
    given = options(server, tmp_path)
    pid, folder = await asyncio.to_thread(killed_with_a_store, given)

    await until(lambda: not runs(pid))
    assert folder.exists()
    another = RcloneStore("far", given)
    await another.ready()
    await another.close()
    assert not folder.exists()


async def test_it_sees_little_of_our_environment(
    tmp_path: Path, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our secrets stay with us; what the settings name, and rclone's own configuration, it gets."""
    monkeypatch.setenv("CARRYALL_SECRET_KEY", "hidden")
    monkeypatch.setenv("MEGA_PASSWORD", "hidden")
    monkeypatch.setenv("RCLONE_RC_ADDR", "0.0.0.0:5572")
    monkeypatch.setenv("RCLONE_CONFIG_OTHER_TYPE", "local")
    given = options(server, tmp_path)
    extended = RcloneStore(
        "far", replace(given, remote=f"other:{tmp_path}", environment={"X_MEGA_API_URL": "http://127.0.0.1:1"})
    )
    await extended.ready()

    seen = seen_by(pid_of(extended))
    await extended.close()

    assert "http://127.0.0.1:1" == seen["X_MEGA_API_URL"]
    assert "local" == seen["RCLONE_CONFIG_OTHER_TYPE"]
    assert not {"CARRYALL_SECRET_KEY", "MEGA_PASSWORD", "RCLONE_RC_ADDR"} & seen.keys()


async def test_one_that_falls_at_once_is_let_lie(tmp_path: Path) -> None:
    """A program that can't run is tried again with growing pauses, and its reason is told meanwhile."""
    broken = tmp_path / "rclone"
    broken.write_text("#!/bin/sh\necho Failed to load config file >&2\nexit 1\n")
    broken.chmod(0o755)
    store = RcloneStore("far", RcloneOptions("far:", binary=broken))
    waits = []
    for _ in range(4):
        with pytest.raises(StoreError) as raised:
            await store.ready()
        assert "store_not_found" == raised.value.stable_code
        waits.append(raised.value.retry_after_s)
    await store.close()

    assert [None, None] == waits[:2]
    assert waits[2]
    assert waits[3]


async def test_without_rclone_it_says_what_to_install(tmp_path: Path) -> None:
    """A missing program is told with its remedy."""
    store = RcloneStore("far", RcloneOptions("far:", binary=tmp_path / "rclone"))

    with pytest.raises(StoreError, match=r"install carryall\[rclone\]") as raised:
        await store.ready()
    await store.close()

    assert ("store_not_found", False) == (raised.value.stable_code, raised.value.retryable)
