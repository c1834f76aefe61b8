"""Docstrings stand where they are read: on every module, and on every public name of the lower floors."""

import ast
from collections.abc import Iterator

CONTRACT_ROOMS = {"model", "ports", "operations"}
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public_definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Walk the public classes and functions of a module, and the public methods of those classes."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}{node.name}.")


def undocumented(tree: ast.Module) -> list[str]:
    """List the public names without a docstring."""
    return [name for name, node in public_definitions(tree.body) if not ast.get_docstring(node)]


def has_headline(tree: ast.Module) -> bool:
    """Tell whether a module's docstring begins with a whole sentence, or ends its first line with a colon."""
    lines = (ast.get_docstring(tree) or "").splitlines()
    return bool(lines) and lines[0].endswith((".", ":", "?"))


def test_every_module_says_its_job(trees: dict[str, ast.Module]) -> None:
    """A module begins with a docstring whose first line is its one-line job."""
    assert [] == [name for name, tree in trees.items() if not has_headline(tree)]


def test_the_lower_floors_are_documented(trees: dict[str, ast.Module]) -> None:
    """Every public class, function and method of model, ports and operations has a docstring."""
    contracts = {name: tree for name, tree in trees.items() if name.partition("/")[0] in CONTRACT_ROOMS}

    assert {} == {name: found for name, tree in contracts.items() if (found := undocumented(tree))}


def test_missing_docstrings_are_seen() -> None:
    """Modules, classes, methods and functions count; private and nested names don't."""
    text = "class A:\n def b(self): ...\n def _c(self): ...\nasync def d():\n def e(): ...\nclass _F:\n def g(): ..."

    assert ["A", "A.b", "d"] == undocumented(ast.parse(text))
    assert not has_headline(ast.parse(text))
    assert not has_headline(ast.parse('"""Begins, and\ngoes on."""'))
