"""Large files take no more memory than small ones."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from tests.servers.mega.launch import FakeMega

PROGRAM = Path(__file__).with_name("carry.py")


@pytest.mark.parametrize("mib", [192, pytest.param(1024, marks=[pytest.mark.long, pytest.mark.timeout(300)])])
async def test_memory_stays_flat(mega: FakeMega, tmp_path: Path, mib: int) -> None:
    """A process that carries a file to MEGA and back keeps below 200 MiB, however large the file is."""
    program = [sys.executable, str(PROGRAM), mega.url, "new@example.com", str(tmp_path), str(mib)]
    carrying = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    said, _ = await carrying.communicate()
    figures = json.loads(said.splitlines()[-1])
    print(figures)

    assert 0 == carrying.returncode
    assert figures["peak_mib"] < 160
