"""What code and tests cite by number is on our own pages, and those pages name tests that are there."""

import re
from pathlib import Path

import pytest

THREATS, DECISIONS = "docs/threats.md", "docs/surfaces/decisions.md"
ROW = re.compile(r"^\| ([A-Z]?\d+) \|", re.MULTILINE)
EARLY = re.compile(r"^- \*\*(\d+)\*\*", re.MULTILINE)  # numbers to come, of which something holds already
CITED = re.compile(r"\b(threat|decision|fault)s? (\d+(?:(?:, | and | to )\d+)*)\b", re.IGNORECASE)
DEFECT = re.compile(r"(?:(?<![IT]-)\b(?:defect )?|(?<!_[IT])_)([PBCH]\d{1,2})(?=[:,;)_ ])", re.IGNORECASE)
PLACE = re.compile(r"`(tests/[\w/.]+)`")
# What nothing in this version could repeat: a second list of dependencies, a login at a provider.
WITHOUT_A_TEST = {"P2", "P7"}


def section(text: str, heading: str) -> str:
    """Give what stands below a heading of the second level."""
    return re.split(r"^## ", text.partition(f"## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.fixture(scope="module")
def listed(documents: dict[str, str]) -> dict[str, set[str]]:
    """Give the numbers that the pages list, by what is cited."""
    threats = section(documents[THREATS], "Threats")
    return {
        "threat": {*ROW.findall(threats), *EARLY.findall(threats)},
        "fault": set(ROW.findall(section(documents[THREATS], "Faults"))),
        "decision": set(ROW.findall(section(documents[DECISIONS], "Decisions"))),
        "defect": set(ROW.findall(section(documents[DECISIONS], "Defects"))),
    }


@pytest.fixture(scope="module")
def texts(root: Path) -> dict[Path, str]:
    """Give the text of every Python file of the package and of its tests."""
    return {path: path.read_text("utf-8") for folder in ("src", "tests") for path in (root / folder).rglob("*.py")}


def test_numbers_are_listed(listed: dict[str, set[str]], texts: dict[Path, str]) -> None:
    """Every threat, fault and decision that a file cites has its row."""
    cited = {
        (kind.lower(), number, path.name)
        for path, text in texts.items()
        for kind, numbers in CITED.findall(text)
        for number in re.findall(r"\d+", numbers)
    }

    assert len(cited) > 50
    assert [] == sorted(one for one in cited if one[1] not in listed[one[0]])


def test_every_defect_has_its_test(listed: dict[str, set[str]], texts: dict[Path, str]) -> None:
    """Each defect of the described systems is cited by a test that would have caught it, and no other is cited."""
    tests = "\n".join(text for path, text in texts.items() if path.name.startswith("test_"))
    cited = {one.upper() for one in DEFECT.findall(tests)}

    assert listed["defect"] == cited | WITHOUT_A_TEST


def test_places_are_there(documents: dict[str, str], root: Path) -> None:
    """Every test file and folder that the two pages name exists."""
    named = {place for page in (THREATS, DECISIONS) for place in PLACE.findall(documents[page])}

    assert len(named) > 20
    assert [] == sorted(place for place in named if not (root / place).exists())
