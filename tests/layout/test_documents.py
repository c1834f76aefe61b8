"""What the project's files may not say, and what its map must not get wrong."""

import re
from pathlib import Path

import pytest

# Whoever installs chooses the index: an address in a lock file, a script or a text would choose for them.
REGISTRIES = re.compile(r"(pypi|pythonhosted|npmjs|deb\.debian)\.(org|com)\b|--(extra-)?index-url[= ]")
# Folders of one developer's machine mean nothing on another.
MACHINE_PATHS = re.compile(r"(?<![\w./}*>-])/(?:work|root)/")
MAP_PATH = re.compile(r"`((?!/)[\w.-]+(?:/[\w.*-]*)*)(?:::\w+)?`")


def lost_paths(text: str, roots: list[Path]) -> list[str]:
    """List the paths in backticks that stand below none of the roots; a path has a slash or a file's ending."""
    named = [path for path in MAP_PATH.findall(text) if "/" in path or path.endswith((".py", ".md", ".toml"))]
    return [path for path in named if not any(any(root.glob(path.rstrip("/"))) for root in roots)]


def says(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    """List the lines of the files in which a pattern occurs."""
    texts = {file: file.read_text("utf-8", errors="replace") for file in files}
    return [f"{file}: {line}" for file, text in texts.items() for line in text.splitlines() if pattern.search(line)]


@pytest.fixture
def other_files(project_files: list[Path]) -> list[Path]:
    """Give every file of the project but this one, which has to name what it looks for."""
    return [file for file in project_files if file != Path(__file__)]


def test_no_file_names_a_registry(other_files: list[Path]) -> None:
    """No file of the project carries the address of a package registry."""
    assert [] == says(REGISTRIES, other_files)


def test_no_file_names_a_machine(other_files: list[Path]) -> None:
    """No file of the project names a folder of somebody's machine."""
    assert [] == says(MACHINE_PATHS, other_files)


def test_lock_files_carry_no_addresses(root: Path) -> None:
    """Lock files pin by hash, whatever index they are installed from."""
    locks = sorted((root / "requirements").glob("*.lock"))

    assert ["build.lock", "serve.lock", "test.lock"] == [lock.name for lock in locks]
    assert [] == says(re.compile("://"), locks)


def test_the_map_leads_somewhere(root: Path) -> None:
    """Every path that docs/design/map.md names is there."""
    maps = [path.read_text("utf-8") for path in root.glob("docs/design/map.md")]

    assert [] == [lost for text in maps for lost in lost_paths(text, [root, root / "src" / "carryall", root / "docs"])]


def test_lost_paths_are_seen(root: Path) -> None:
    """Files, folders and patterns count; routes, code and other words in backticks don't."""
    text = "`model/upload.py::admit` `model/` `model/*.py` `/v1/files` `carryall serve` `Upload` `model/x.py` `attic/`"

    assert ["model/x.py", "attic/"] == lost_paths(text, [root / "src" / "carryall"])


@pytest.mark.parametrize("place", ["/root/.venv", "cd /work/main", "'/work/x'"])
def test_machine_paths_are_seen(tmp_path: Path, place: str) -> None:
    """An absolute path counts; the same word inside of a path of ours doesn't."""
    file = tmp_path / "notes.md"
    file.write_text(f"{place}\nsrc/carryall/work/runner.py\n")

    assert [f"{file}: {place}"] == says(MACHINE_PATHS, [file])


@pytest.mark.parametrize("address", ["https://pypi.org/simple", "--index-url=x", "files.pythonhosted.org"])
def test_registries_are_seen(tmp_path: Path, address: str) -> None:
    """An address or an index option counts; the name of a package doesn't."""
    file = tmp_path / "some.lock"
    file.write_text(f"{address}\npypi-attestations==1.0\n")

    assert [f"{file}: {address}"] == says(REGISTRIES, [file])
