"""What documents say by name is really called so: settings, commands, metrics, events, codes, tests."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from carryall.cli.main import app
from carryall.config import SETTINGS
from carryall.config.fields import describe
from carryall.config.stores import FILE_ENDING, KINDS, NAME
from carryall.subscribers.metrics import PrometheusTelemetry

SETTING = re.compile(r"\bCARRYALL_[A-Z_]*[A-Z]\b(?!_?…|_\*)")
COMMAND = re.compile(r"\bcarryall ([a-z]+)(?: ([a-z]+))?(?: (--[a-z]+))?")
METRIC = re.compile(r"`(carryall_\w+)`")
CODE = re.compile(r"\b[45]\d\d `([a-z_]+)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
RULE = re.compile(r"^\| ([A-Z])-(\d+) \|", re.MULTILINE)
EVENT = re.compile(r"(?:type=|Event\(\s*|_publish\(tx, )\"([a-z]+\.[a-z]+)\"")
MISTYPED = {"CARRYALL_PROT"}  # on purpose, in the decision on how settings are read


@pytest.fixture(scope="session")
def written(documents: dict[str, str], root: Path) -> dict[str, str]:
    """Give everything that people read: documents and examples."""
    files = [*root.glob("examples/*/*"), root / "compose.yaml", root / "Dockerfile"]
    return documents | {file.relative_to(root).as_posix(): file.read_text("utf-8") for file in files}


@pytest.fixture(scope="session")
def code(root: Path) -> str:
    """Give the whole package as one text."""
    return "\n".join(path.read_text("utf-8") for path in sorted(root.glob("src/**/*.py")))


def test_settings_are_settings(written: Mapping[str, str]) -> None:
    """Every CARRYALL_ name in a document or an example is a setting."""
    known = {name for one in SETTINGS for name in one.names}
    options = {"KIND", *(one.name.upper() for kind in KINDS.values() for one in describe(kind))}
    options |= {f"{option}{FILE_ENDING}" for option in options}
    named = {(name, file) for file, text in written.items() for name in SETTING.findall(text)}

    assert len(named) > 50
    unknown = {(name, file) for name, file in named if name not in known | MISTYPED and "_TEST_" not in name}
    of_stores = {(name, file) for name, file in unknown if (store := NAME.fullmatch(name)) and store[2] in options}
    assert [] == sorted(unknown - of_stores)


def test_commands_are_commands(documents: Mapping[str, str]) -> None:
    """Every `carryall …` in a document is a command, with its subcommand and its option."""
    group = typer.main.get_command(app)
    spoken = {
        (file, *said)
        for file, text in documents.items()
        for span in re.findall(r"`[^`\n]+`|^ *(?:\$ )?\S*carryall .*$", text, re.MULTILINE)
        for said in COMMAND.findall(span)
    }

    assert [] == sorted(said for said in spoken if not _is_spoken(group, *said[1:]))


def _is_spoken(group: Any, command: str, subcommand: str, option: str) -> bool:
    found = group.commands.get(command)
    if isinstance(found, TyperGroup):
        if not subcommand:
            return not option
        found = found.commands.get(subcommand)
    options = {name for parameter in found.params for name in parameter.opts} if found else set()
    return found is not None and (not option or option in options | {"--help"})


def test_metrics_are_measured(documents: Mapping[str, str]) -> None:
    """docs/deploy.md names every metric, and no other."""
    page = PrometheusTelemetry().page({("expire", "queued"): 1}).decode()
    measured = set(re.findall(r"^# TYPE (\w+) (?:counter|gauge|histogram)$", page, re.MULTILINE))

    assert {name for name in measured if not name.endswith("_created")} == set(
        METRIC.findall(documents["docs/deploy.md"])
    )


def test_events_are_published(documents: Mapping[str, str], code: str) -> None:
    """docs/events.md lists every type of event that some verb publishes, and no other."""
    listed = re.findall(r"^\| `([a-z.]+)` \|", documents["docs/events.md"], re.MULTILINE)

    assert set(EVENT.findall(code)) == set(listed)


def test_codes_are_answered(documents: Mapping[str, str], code: str) -> None:
    """An error code that stands behind its status in a document is one that the code has."""
    named = {(name, file) for file, text in documents.items() for name in CODE.findall(text)}

    assert [] == sorted((name, file) for name, file in named if f'"{name}"' not in code)


def test_rules_name_their_tests(documents: Mapping[str, str], root: Path) -> None:
    """Every test that docs/protocols.md names is there."""
    named = TEST.findall(documents["docs/protocols.md"])
    lost = [
        f"{file}::{name}"
        for file, name in named
        if not (root / file).exists() or not re.search(rf"def {name}\(", (root / file).read_text("utf-8"))
    ]

    assert len(named) > 30
    assert [] == lost


def test_rules_are_numbered(documents: Mapping[str, str]) -> None:
    """Each class of rules counts from 1, without a gap."""
    numbers: dict[str, list[int]] = {}
    for letter, number in RULE.findall(documents["docs/protocols.md"]):
        numbers.setdefault(letter, []).append(int(number))

    assert set("BFPCDGK") == set(numbers)
    assert {letter: list(range(1, len(found) + 1)) for letter, found in numbers.items()} == numbers
