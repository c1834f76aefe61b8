"""A skip says why on a developer's machine, and is a failure where CARRYALL_TEST_REQUIRE=all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

TEST = """
import os

def test_missing(require_program):
    require_program("a-program-that-nobody-has")

def test_present(require_program):
    assert os.access(require_program("sh"), os.X_OK)

def test_settings():
    assert [] == [name for name in os.environ if name.startswith("CARRYALL_")]
"""


def run(folder: Path, root: Path, **variables: str) -> list[str]:
    """Run that test under the project's conftest, in a process of its own, and give what it printed."""
    shutil.copy(root / "tests" / "conftest.py", folder)
    (folder / "test_sample.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider", "-rfs"]
    result = subprocess.run(
        [*command, folder], env=os.environ | variables, capture_output=True, check=False, text=True, cwd=folder
    )
    return result.stdout.splitlines()


def test_a_missing_program_skips_with_its_name(root: Path, tmp_path: Path) -> None:
    """Without the program the test is skipped, and the summary says which program it needs."""
    lines = run(tmp_path, root, CARRYALL_DATA_DIR="elsewhere")

    assert any("SKIPPED" in line and "needs the program a-program-that-nobody-has" in line for line in lines)
    assert "2 passed, 1 skipped" in lines[-1]


def test_ci_lets_nothing_be_skipped(root: Path, tmp_path: Path) -> None:
    """With CARRYALL_TEST_REQUIRE=all the same skip is a failure."""
    assert "1 failed, 2 passed" in run(tmp_path, root, CARRYALL_TEST_REQUIRE="all")[-1]


def test_ci_lets_no_file_be_skipped(root: Path, tmp_path: Path) -> None:
    """A file that skips as a whole is an error there, too."""
    (tmp_path / "test_whole.py").write_text("import pytest\npytest.importorskip('a_module_that_nobody_has')\n")

    assert "1 error" in run(tmp_path, root, CARRYALL_TEST_REQUIRE="all")[-1]
