"""The floors of the house: imports go down only, as the contracts in pyproject.toml say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FLOORS = "Imports go down only; rooms on one floor don't know each other"
ONLY_WIRING = "Only wiring names a plug"
NO_FRAMEWORK = "Nouns, contracts and verbs know no framework"
PURE_NOUNS = "Nouns do no I/O, ask no clock, throw no dice and write no logs"

BREACHES = [  # the contract that is broken, the file that breaks it, what it imports
    (FLOORS, "model/upload.py", "carryall.ports"),
    (FLOORS, "ports/store.py", "carryall.operations"),
    (FLOORS, "operations/ingest.py", "carryall.stores"),
    (FLOORS, "stores/local.py", "carryall.staging"),
    (FLOORS, "http/app.py", "carryall.config"),
    (FLOORS, "attic.py", "carryall"),
    (ONLY_WIRING, "http/app.py", "carryall.stores.local"),
    (ONLY_WIRING, "cli/files.py", "carryall.catalog"),
    ("Surfaces don't know each other", "http/surfaces/one.py", "carryall.http.surfaces.another"),
    ("Protocols don't know each other", "http/protocols/one.py", "carryall.http.protocols.another"),
    ("Stores don't know each other", "stores/one.py", "carryall.stores.another"),
    (NO_FRAMEWORK, "operations/ingest.py", "sqlalchemy"),
    (NO_FRAMEWORK, "ports/body.py", "starlette.requests"),
    (PURE_NOUNS, "model/file.py", "time"),
]


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package below a folder, by the contracts that lie there."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(root / "src"), "NO_COLOR": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False, text=True)


def test_imports_go_down_only(root: Path) -> None:
    """Every contract is kept."""
    result = lint(root)

    assert 0 == result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize(("contract", "file", "imported"), BREACHES)
def test_a_breach_is_seen(root: Path, tmp_path: Path, contract: str, file: str, imported: str) -> None:
    """Each contract can be broken: one wrong import in a copy of the package is enough."""
    shutil.copytree(root / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    breach = tmp_path / "src" / "carryall" / file
    breach.with_name("another.py").touch()
    with breach.open("a") as module:
        module.write(f"\nimport {imported}\n")

    result = lint(tmp_path)

    assert 1 == result.returncode
    assert f"{contract} BROKEN" in result.stdout, result.stdout + result.stderr
