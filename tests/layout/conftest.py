"""The project's own files, as the layout tests read them."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MADE_BY_TOOLS = re.compile(r"(^|/)(\.(?!ci/|github/)[^/]+|__pycache__|build|data|dist)/")


@pytest.fixture(scope="session")
def root() -> Path:
    """Give the folder that pyproject.toml is in."""
    return ROOT


@pytest.fixture(scope="session")
def sources() -> dict[str, str]:
    """Give the text of every Python file of the package, by its path below src/carryall ("work/runner.py")."""
    package = ROOT / "src" / "carryall"
    return {path.relative_to(package).as_posix(): path.read_text("utf-8") for path in sorted(package.rglob("*.py"))}


@pytest.fixture(scope="session")
def trees(sources: dict[str, str]) -> dict[str, ast.Module]:
    """Give the same files, parsed."""
    return {name: ast.parse(text) for name, text in sources.items()}


@pytest.fixture(scope="session")
def project_files() -> list[Path]:
    """Give every file that git tracks or would track; without git, every file that no tool made."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in ROOT.rglob("*") if not MADE_BY_TOOLS.search(path.relative_to(ROOT).as_posix())]
    else:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in found if path.is_file()]
