"""Functions and files stay small enough to be read in one go (ADR 0003)."""

import ast

LONGEST_FUNCTION = 40  # lines, with signature and docstring
LONGEST_FILE = 400  # lines
NINE_IN_TEN_FUNCTIONS = 25  # lines


def lengths(tree: ast.Module) -> dict[str, int]:
    """Measure every function of a file: lines by "name:line"."""
    return {
        f"{node.name}:{node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def ninth_decile(values: list[int]) -> int:
    """Give the smallest value that nine in ten don't exceed."""
    return sorted(values)[(9 * len(values) + 9) // 10 - 1]


def test_no_function_is_long(trees: dict[str, ast.Module]) -> None:
    """A function has 40 lines at most."""
    measured = {f"{file}:{name}": lines for file, tree in trees.items() for name, lines in lengths(tree).items()}

    assert {} == {name: lines for name, lines in measured.items() if lines > LONGEST_FUNCTION}


def test_most_functions_are_short(trees: dict[str, ast.Module]) -> None:
    """Nine functions in ten have 25 lines at most."""
    measured = [lines for tree in trees.values() for lines in lengths(tree).values()]

    assert ninth_decile(measured) <= NINE_IN_TEN_FUNCTIONS


def test_no_file_is_long(sources: dict[str, str]) -> None:
    """A file has 400 lines at most."""
    assert {} == {name: n for name, text in sources.items() if (n := text.count("\n")) > LONGEST_FILE}


def test_lines_are_counted_from_def_to_end() -> None:
    """Decorators don't count; nested functions and docstrings do."""
    tree = ast.parse('@d\ndef outer():\n    """Doc."""\n    async def inner():\n        pass\n    return inner\n')

    assert {"outer:2": 5, "inner:4": 2} == lengths(tree)


def test_the_ninth_decile_is_exceeded_by_one_in_ten() -> None:
    """Of ten values, one may be larger; of eleven, still one."""
    assert (9, 10) == (ninth_decile([*range(1, 11)]), ninth_decile([*range(1, 12)]))
