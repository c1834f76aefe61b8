"""docs/errors.md lists every error code that the source can answer, each with the status that it really has."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from carryall.http import problems
from carryall.model import errors

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "carryall"
NOT_HTTP = "Not over HTTP"
STORE_CODE = re.compile(r"^ {8}(store_[a-z]+) {2,}", re.MULTILINE)  # the contract of stores lists theirs
ROW = re.compile(r"^\| `([a-z_]+)` \| ([0-9, –]+) \|")
Found = Iterator[tuple[str, str]]  # a code, and the class that carries it; "" where it isn't an error's


def codes_of(tree: ast.AST) -> Found:
    """Walk the codes of a file: `code = "…"` of a class, `code="…"` of a call, `{"code": "…"}` of a body."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from ((code, node.name) for value in own_codes(node) for code in texts(value))
        elif isinstance(node, ast.Call):
            values = [keyword.value for keyword in node.keywords if keyword.arg in {"code", "error_code"}]
            yield from ((code, ast.unparse(node.func)) for value in values for code in texts(value))
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            values = [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "code"]
            yield from ((code, "") for value in values for code in texts(value))


def own_codes(node: ast.ClassDef) -> Iterator[ast.expr]:
    """Give what a class assigns to `code`."""
    for statement in node.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            if isinstance(target, ast.Name) and target.id == "code":
                yield statement.value


def texts(value: ast.expr) -> Iterator[str]:
    """Give the text that stands here, or each of a conditional expression's two."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from texts(value.body)
        yield from texts(value.orelse)


@pytest.fixture(scope="module")
def in_source() -> dict[str, set[int]]:
    """Every code of the source, with the statuses that the table of statuses gives to the classes that carry it."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        for code, name in codes_of(ast.parse(path.read_text("utf-8"))):
            kind = getattr(errors, name, None)
            found[code] |= {status_of(kind, code)} if kind is not None else set()
    for code in STORE_CODE.findall((SOURCE / "ports" / "store.py").read_text("utf-8")):
        found[code].add(status_of(errors.StoreError, code))
    for status, code in problems._HTTP_CODES.items():
        found[code].add(status)
    found["internal"].add(HTTPStatus.INTERNAL_SERVER_ERROR)
    found["fields_invalid"].add(HTTPStatus.UNPROCESSABLE_ENTITY)
    found["http_error"].add(HTTPStatus.BAD_REQUEST)
    return found


def status_of(kind: type[errors.CarryallError], code: str) -> int:
    """Give the status of an error of this class and code."""
    options = {"retryable": False} if issubclass(kind, errors.StoreError) else {}
    return problems.status_of(kind("text", code=code, **options))


def documented() -> Iterator[tuple[str, str, set[int]]]:
    """Walk the document's rows: the heading above, the code, its statuses."""
    heading = ""
    for line in (ROOT / "docs" / "errors.md").read_text("utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        if row := ROW.match(line):
            yield heading, row[1], {int(status) for status in re.findall(r"\d+", row[2])}


def test_every_code_is_documented_once(in_source: dict[str, set[int]]) -> None:
    """What the source has and what the document lists are the same codes."""
    listed = [code for _, code, _ in documented()]

    assert sorted(listed) == sorted(in_source)


def test_every_status_is_the_real_one(in_source: dict[str, set[int]]) -> None:
    """The document's statuses are those of the server's table."""
    told = {code: statuses for heading, code, statuses in documented() if heading != NOT_HTTP}

    assert told == {code: in_source[code] for code in told}


def test_codes_are_seen() -> None:
    """Classes' own, errors' narrower ones and bodies' are found; other words named code aren't."""
    text = (
        'class A(Refused):\n code = "a"\nclass B:\n code: ClassVar[str] = "b"\n'
        'raise Missing("x", code="c" if y else "d")\nbody = {"code": "e", "detail": "f"}\ncode = "g"\nf(codes="h")'
    )

    assert {("a", "A"), ("b", "B"), ("c", "Missing"), ("d", "Missing"), ("e", "")} == set(codes_of(ast.parse(text)))
