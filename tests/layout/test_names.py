"""Names say what is inside: no drawer for odds and ends, no word that fits everything (ADR 0003)."""

import ast
import re

DRAWERS = {"util", "helper", "manager", "service", "common", "base", "core", "handler", "misc"}
EMPTY_ENDINGS = re.compile(r"(Manager|Service|Handler|Helper|Base|Abstract|Impl|Data|Info)s?$")
EMPTY_BEGINNINGS = re.compile(r"_*(Base|Abstract)(?![a-z])")


def drawers(path: str) -> list[str]:
    """List the parts of a path that are named like a drawer, in singular or plural."""
    parts = path.removesuffix(".py").split("/")
    return [part for part in parts if DRAWERS.intersection(word.removesuffix("s") for word in part.split("_"))]


def empty_classes(tree: ast.Module) -> list[str]:
    """List the classes whose name ends, or begins, with a word that fits everything."""
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return [name for name in names if EMPTY_ENDINGS.search(name) or EMPTY_BEGINNINGS.match(name)]


def test_no_file_is_a_drawer(sources: dict[str, str]) -> None:
    """No module or folder is called utils, helpers, manager, service, common, base, core, handler or misc."""
    assert [] == [name for name in sources if drawers(name)]


def test_no_class_name_is_empty(trees: dict[str, ast.Module]) -> None:
    """No class is a Manager, Service, Handler, Helper, Base, Abstract, Impl, Data or Info."""
    assert {} == {name: found for name, tree in trees.items() if (found := empty_classes(tree))}


def test_drawers_are_seen() -> None:
    """Singular, plural, as a folder and as a part of a name."""
    bad = ["utils.py", "http/helpers.py", "core/app.py", "stores/base_store.py", "services/mail.py"]

    assert bad == [name for name in [*bad, "stores/local.py", "database.py"] if drawers(name)]


def test_empty_class_names_are_seen() -> None:
    """Whole words count; letters inside of a word don't."""
    bad = ["StoreManager", "BaseStore", "HTTPHandler", "FileInfo", "_DataImpl", "Services"]
    good = ["Metadata", "DataDirectory", "Database", "Basement", "URL"]
    tree = ast.parse("\n".join(f"class {name}: ..." for name in [*bad, *good]))

    assert bad == empty_classes(tree)
