"""Rules of the house that no tool knows: each is a function that lists the lines of a file that break it."""

import ast
from collections.abc import Callable, Iterator

import pytest

Rule = Callable[[str, ast.Module], Iterator[int]]

LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
LAST_DEFENCES = {"work/runner.py", "http/problems.py", "__main__.py"}


def called_methods(tree: ast.Module) -> Iterator[tuple[str, str, ast.Call]]:
    """Walk the method calls of a file: the receiver's last name, the method's name, the call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver = node.func.value
            name = receiver.attr if isinstance(receiver, ast.Attribute) else getattr(receiver, "id", "")
            yield name.strip("_"), node.func.attr, node


def commits_outside_the_catalog(file: str, tree: ast.Module) -> Iterator[int]:
    """Nobody but the catalog commits."""
    if not file.startswith("catalog/"):
        yield from (call.lineno for _, method, call in called_methods(tree) if method == "commit")


def transactions_outside_operations(file: str, tree: ast.Module) -> Iterator[int]:
    """Transactions begin in operations only; leases and rates keep own rows; contract suites drive the catalog."""
    if not file.startswith(("operations/", "catalog/", "leases/", "rates/", "testing/")):
        calls = called_methods(tree)
        yield from (call.lineno for name, method, call in calls if name == "catalog" and method in {"read", "write"})


def bodies_parsed_before_admission(_: str, tree: ast.Module) -> Iterator[int]:
    """Nobody uses UploadFile, File, Form or request.form(): they read the body before it is admitted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("fastapi", "starlette")):
            yield from (node.lineno for alias in node.names if alias.name in {"UploadFile", "File", "Form"})
    yield from (call.lineno for name, method, call in called_methods(tree) if (name, method) == ("request", "form"))


def blind_excepts(file: str, tree: ast.Module) -> Iterator[int]:
    """Only the last defences catch what nobody foresaw (BaseException, for closing steps, is ruff's BLE001)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and file not in LAST_DEFENCES:
            caught = ast.walk(node.type) if node.type else []
            if node.type is None or any(isinstance(kind, ast.Name) and kind.id == "Exception" for kind in caught):
                yield node.lineno


def blind_suppressions(_: str, tree: ast.Module) -> Iterator[int]:
    """`contextlib.suppress` names what it suppresses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            yield from (node.lineno for kind in node.args if ast.unparse(kind) in {"Exception", "BaseException"})


def composed_log_lines(_: str, tree: ast.Module) -> Iterator[int]:
    """A log line is an event's name and values, never a text put together."""
    for name, method, call in called_methods(tree):
        if name in {"log", "logger"} and method in LOG_METHODS:
            has_text = any(isinstance(part, ast.JoinedStr) for part in ast.walk(call))
            if has_text or any(isinstance(event, ast.BinOp | ast.Call) for event in call.args):
                yield call.lineno


RULES: dict[Rule, dict[str, str]] = {  # with samples that break them: text by file
    commits_outside_the_catalog: {
        "operations/ingest.py": "connection.commit()",
        "stores/local.py": "self._db.commit()",
    },
    transactions_outside_operations: {
        "http/app.py": "async def f(self):\n await self._catalog.write(work)",
        "cli/files.py": "catalog.read(work)",
    },
    bodies_parsed_before_admission: {
        "http/api/files.py": "from fastapi import APIRouter, File",
        "http/forms.py": "from starlette.datastructures import UploadFile",
        "http/surfaces/relay.py": "async def f(request):\n await request.form()",
    },
    blind_excepts: {
        "http/app.py": "try:\n pass\nexcept (OSError, Exception):\n raise",
        "staging/disk.py": "try:\n pass\nexcept:\n pass",
        "work/schedule.py": "try:\n pass\nexcept Exception as error:\n print(error)",
    },
    blind_suppressions: {
        "stores/local.py": "with contextlib.suppress(OSError, Exception):\n pass",
    },
    composed_log_lines: {
        "http/app.py": "log.info(f'upload {upload.id}')",
        "work/runner.py": "self._log.warning('job.failed', job=f'{kind}-{id}')",
        "stores/local.py": "logger.error('lost %s' % name)",
        "leases/process.py": "log.info('asked {}'.format(holder))",
    },
}
SAMPLES = [pytest.param(rule, file, id=f"{rule.__name__}:{file}") for rule, files in RULES.items() for file in files]

GOOD = """
try:
    answer = response.read()
except BaseException:
    undo()
    raise
except OSError as error:
    log.info("upload.failed", id=upload.id, reason=str(error))
with suppress(OSError):
    file.write(b"")
from carryall.model.file import File
"""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rule(rule: Rule, trees: dict[str, ast.Module]) -> None:
    """No file of the package breaks the rule."""
    assert [] == [f"{file}:{line}" for file, tree in trees.items() for line in rule(file, tree)]


@pytest.mark.parametrize(("rule", "file"), SAMPLES)
def test_a_breach_is_seen(rule: Rule, file: str) -> None:
    """The rule finds its line in a file that breaks it, and nothing in one that doesn't."""
    assert 1 == len(list(rule(file, ast.parse(RULES[rule][file]))))
    assert [] == list(rule(file, ast.parse(GOOD)))


def test_the_exempt_are_exempt() -> None:
    """The catalog commits, verbs begin transactions, the runner catches everything."""
    everything = ast.parse("db.commit()\ncatalog.write(work)\ntry:\n pass\nexcept Exception:\n pass")

    assert [] == list(commits_outside_the_catalog("catalog/engines.py", everything))
    assert [] == list(transactions_outside_operations("operations/ingest.py", everything))
    assert [] == list(blind_excepts("work/runner.py", everything))
