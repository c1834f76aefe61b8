"""Lint, format and types: what `make check` runs, so that a green `make test` means a green check."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(600)  # mypy reads everything the first time
@pytest.mark.parametrize("tool", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join)
def test_the_check_is_green(root: Path, tool: list[str]) -> None:
    """The tool finds nothing to say about the project."""
    result = subprocess.run([sys.executable, "-m", *tool], cwd=root, capture_output=True, check=False, text=True)

    assert 0 == result.returncode, result.stdout + result.stderr
