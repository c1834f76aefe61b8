"""The wheel: what people install holds what the source tree holds."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel and open it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=root, check=True)
    return zipfile.ZipFile(next(folder.glob("carryall-*.whl")))


def test_the_whole_package_is_in_it(root: Path, wheel: zipfile.ZipFile) -> None:
    """Every file of the package goes along: modules, migrations, py.typed, what the pages are made of."""
    package = root / "src"
    expected = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    expected = {name for name in expected if "__pycache__" not in name}

    assert expected == {name for name in wheel.namelist() if ".dist-info/" not in name}


def test_it_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    """Installing it gives the command `carryall`, and the licence lies beside it."""
    extras = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}

    assert "carryall = carryall.cli.main:main" in extras["entry_points.txt"]
    assert extras["LICENSE"].startswith("MIT License")
