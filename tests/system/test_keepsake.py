"""A keepsake: found again after a restart, by whoever has the secret key, and by nobody else."""

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from carryall.model.errors import Unavailable
from carryall.system.keepsake import FileKeepsake

HOLD = """
import asyncio, sys
from pathlib import Path
from carryall.system.keepsake import FileKeepsake
async def hold():
    async with FileKeepsake(Path(sys.argv[1]), "mega", "secret").held():
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(hold())
"""


def keepsake(tmp_path: Path, name: str = "mega", secret_key: str = "secret") -> FileKeepsake:
    """Give one in a folder that isn't there yet."""
    return FileKeepsake(tmp_path / "secrets", name, secret_key)


async def test_what_was_saved_is_found_again(tmp_path: Path) -> None:
    """The last one saved, by every later process; nothing before, and nothing after nothing was saved."""
    assert await keepsake(tmp_path).load() is None
    await keepsake(tmp_path).save(b"first")
    await keepsake(tmp_path).save(b"second")
    assert b"second" == await keepsake(tmp_path).load()

    for _ in range(2):
        await keepsake(tmp_path).save(None)
    assert await keepsake(tmp_path).load() is None


async def test_it_is_secret(tmp_path: Path) -> None:
    """The file is the owner's alone, holds nothing readable, is never the same twice, and is all that is left."""
    await keepsake(tmp_path).save(b"master key")
    path = tmp_path / "secrets" / "mega.keepsake"
    once = path.read_bytes()
    await keepsake(tmp_path).save(b"master key")

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)
    assert b"master key" not in once
    assert once != path.read_bytes()
    assert [path] == list(path.parent.iterdir())


async def test_another_key_or_name_doesn_t_open_it(tmp_path: Path) -> None:
    """Without the secret key it is nothing, and neither is it under another name."""
    await keepsake(tmp_path).save(b"for mega")
    path = tmp_path / "secrets" / "mega.keepsake"
    path.with_name("other.keepsake").write_bytes(path.read_bytes())

    assert await keepsake(tmp_path, secret_key="another").load() is None
    assert await keepsake(tmp_path, name="other").load() is None


async def test_what_was_tampered_with_is_nothing(tmp_path: Path) -> None:
    """A changed byte anywhere, an end that is missing, or a link in its place make it nothing."""
    await keepsake(tmp_path).save(b"x")
    path = tmp_path / "secrets" / "mega.keepsake"
    whole = path.read_bytes()

    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert await keepsake(tmp_path).load() is None
        path.write_bytes(whole[:at])
        assert await keepsake(tmp_path).load() is None

    path.unlink()
    path.with_name("elsewhere").write_bytes(whole)
    path.symlink_to("elsewhere")
    assert await keepsake(tmp_path).load() is None


async def test_one_at_a_time_in_a_process(tmp_path: Path) -> None:
    """Inside the block nobody else of this process is."""
    inside: list[str] = []

    async def visit(name: str) -> None:
        async with keepsake(tmp_path).held():
            inside.append(name)
            await asyncio.sleep(0)
            inside.append(name)

    async with asyncio.timeout(10):
        await asyncio.gather(visit("a"), visit("b"), visit("c"))

    assert inside[::2] == inside[1::2]


async def test_one_at_a_time_among_processes(tmp_path: Path) -> None:
    """Another process waits, and gets it when the first one is killed."""

    async def visit() -> None:
        async with keepsake(tmp_path).held():
            pass

    program = [sys.executable, "-c", HOLD, str(tmp_path / "secrets")]
    holder = await asyncio.to_thread(subprocess.Popen, program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert b"held\n" == await asyncio.to_thread(holder.stdout.readline)
        visiting = asyncio.ensure_future(visit())
        assert set() == (await asyncio.wait([visiting], timeout=0.2))[0]
    finally:
        holder.kill()
        holder.communicate()

    async with asyncio.timeout(10):
        await visiting


async def test_a_folder_that_can_t_be_written_is_told(tmp_path: Path) -> None:
    """The error is ours, and names no path."""
    (tmp_path / "secrets").write_text("not a folder")

    with pytest.raises(Unavailable, match="secrets folder"):
        await keepsake(tmp_path).save(b"x")
    with pytest.raises(Unavailable, match="secrets folder"):
        async with keepsake(tmp_path).held():
            pass
