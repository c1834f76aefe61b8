"""Whoever follows a link arrives, and every page can be found."""

import re
from pathlib import Path

LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
# How the code speaks of documents: "docs/events.md", "docs/adr/0008", "ADR 0005".
MENTION = re.compile(r"\b(docs/[\w./-]*\w)|\bADR[ -](\d{4})\b")


def anchors(text: str) -> set[str]:
    """List the anchors that a page's headings get: lower case, punctuation gone, blanks to dashes."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


def lost_links(page: Path, text: str) -> list[str]:
    """List the links of a page that lead to no file, or to no heading of one."""
    lost = []
    for target in LINK.findall(CODE.sub("", text)):
        place, _, anchor = target.partition("#")
        if ":" in place:
            continue
        file = page.parent / place if place else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            lost.append(target)
    return lost


def lost_mentions(text: str, root: Path) -> list[str]:
    """List the documents that a text names and that aren't there."""
    lost = []
    for path, number in MENTION.findall(text):
        pattern = path or f"docs/adr/{number}-*.md"
        if not any(any(root.glob(wanted)) for wanted in (pattern, f"{pattern}-*.md")):
            lost.append(path or f"ADR {number}")
    return lost


def test_links_lead_somewhere(documents: dict[str, str], root: Path) -> None:
    """Every link between documents leads to a file, and to a heading where it names one."""
    assert {} == {name: lost for name, text in documents.items() if (lost := lost_links(root / name, text))}


def test_the_code_names_documents_that_are_there(root: Path) -> None:
    """What code, tests and examples say of docs/ and of decision records is there."""
    files = [root / "pyproject.toml", root / "compose.yaml", *root.glob("src/**/*.py"), *root.glob("examples/*/*")]

    assert {} == {file: lost for file in files if (lost := lost_mentions(file.read_text("utf-8"), root))}


def test_every_page_is_listed(documents: dict[str, str], root: Path) -> None:
    """docs/index.md leads to every page, and the list of decisions to every decision."""
    for index, below in (("docs/index.md", "docs"), ("docs/adr/README.md", "docs/adr")):
        linked = {(root / index).parent.joinpath(link).resolve() for link in LINK.findall(documents[index])}
        pages = {root / name for name in documents if name.startswith(f"{below}/") and name != index}
        decisions = {page for page in pages if page.parent.name == "adr" and page.name != "README.md"}

        assert set() == (pages if below == "docs/adr" else pages - decisions) - linked


def test_lost_links_are_seen(root: Path) -> None:
    """A file or a heading that isn't there counts; code, addresses and the page's own headings don't."""
    text = "# A b!\n[a](x.md) [b](README.md#no) [c](#a-b) `[d](y.md)` [e](https://example.org/z) [f](#gone)"

    assert ["x.md", "README.md#no", "#gone"] == lost_links(root / "README.md", text.replace("#a-b", "#two-commands"))
    assert ["docs/nothing.md", "ADR 9999"] == lost_mentions("docs/nothing.md docs/adr/0008 ADR 9999 ADR 0005", root)
    assert {"a-b"} == anchors("# A b!")
