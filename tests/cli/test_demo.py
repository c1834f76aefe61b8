"""`make demo`: the show that a newcomer sees."""

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "scripts" / "demo.py"


@pytest.mark.timeout(120)
def test_the_demo_plays(tmp_path: Path) -> None:
    """It uploads through every surface, gets the same bytes back each time, and leaves nothing behind."""
    done = subprocess.run(
        [sys.executable, DEMO], cwd=tmp_path, capture_output=True, check=False, encoding="utf-8", timeout=110
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    for surface in ("relay", "blobs", "gallery", "chunks", "/v1"):
        assert f"\n{surface} ─" in done.stdout
    assert 8 == done.stdout.count("✓ ")
    assert "Everything came back as it was sent" in done.stdout
    assert [] == list(tmp_path.iterdir())
