"""Every command teaches: what it does, an example, what to do next; at once, and in the documents, too."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner

from carryall.cli.main import app, main

HEAVY = {"fastapi", "sqlalchemy", "alembic", "pydantic", "uvicorn", "aiohttp", "cryptography", "structlog"}


def commands(group: Any, *before: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Walk the groups and commands: their words, and what they are."""
    for name, found in group.commands.items():
        yield (*before, name), found
        if isinstance(found, TyperGroup):
            yield from commands(found, *before, name)


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_teaches(words: tuple[str, ...]) -> None:
    """`--help` of a command says what it does, shows an example and what to do next; a group lists its commands."""
    shown = CliRunner().invoke(app, [*words, "--help"])

    assert 0 == shown.exit_code
    assert re.search(r"[a-z]{2,}.*\.\s", shown.stdout)
    if isinstance(ALL[words], TyperGroup):
        assert all(name in shown.stdout for name in ALL[words].commands)
    else:
        assert f"  carryall {' '.join(words)}" in shown.stdout or f"(carryall {' '.join(words)}" in shown.stdout
        assert "\n Next: " in shown.stdout


def test_nothing_shows_the_help() -> None:
    """`carryall` alone shows the help, as do groups alone."""
    for words in ([], ["users"], ["files"], ["webhooks"]):
        assert "Usage:" in CliRunner().invoke(app, words).stdout


def test_help_loads_nothing_heavy() -> None:
    """The help of every command appears without loading the server, so it appears at once."""
    code = "import sys, carryall.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()

    assert set() == HEAVY.intersection(loaded)


def test_the_document_lists_every_command() -> None:
    """docs/cli.md has a heading for every command, and names each of its options below it."""
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
    sections = dict(re.findall(r"^### `carryall ([a-z ]+)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    single = {" ".join(words): found for words, found in ALL.items() if not isinstance(found, TyperGroup)}

    assert single.keys() == sections.keys()
    for name, found in single.items():
        options = {option for one in found.params for option in one.opts if option.startswith("--")}
        assert set() == {option for option in options - {"--help"} if f"`{option}" not in sections[name]}, name


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """`carryall --version` gives the name and the version."""
    assert 0 == run("--version")
    assert re.fullmatch(r"carryall \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_completion_is_offered() -> None:
    """`carryall --install-completion` is there, as with other tools."""
    assert "--install-completion" in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout


@pytest.mark.parametrize("words", [["bogus"], ["users", "bogus"], ["serve", "--port", "high"], ["files", "ls", "--x"]])
def test_wrong_usage_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command, an unknown option, a value of the wrong kind: said on standard error, status 2."""
    assert 2 == run(*words)
    said = capsys.readouterr()
    assert "Usage:" in said.err
    assert "" == said.out


def run(*words: str) -> object:
    """Run the command line in this process; give its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["carryall", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code
