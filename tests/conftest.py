"""What every test relies on: an environment without the developer's own settings, and skips that CI can forbid."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest

# Settings of whoever runs the tests must not reach the servers that tests start.
SKIPS_ARE_FAILURES = os.environ.get("CARRYALL_TEST_REQUIRE") == "all"
SERVERS_USE_POSTGRES = os.environ.get("CARRYALL_TEST_DATABASE") == "postgres"
for _name in [name for name in os.environ if name.startswith("CARRYALL_")]:
    del os.environ[_name]

# How fast an example runs says something about the machine, not about the rule.
hypothesis.settings.register_profile("carryall", deadline=None)
hypothesis.settings.load_profile("carryall")


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], str]:
    """Give a function that finds a program on PATH, and skips the test where it isn't installed."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"needs the program {name}")
        return path

    return find


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """Give a `carryall.testing.postgres.Postgres` that all tests share: make databases of your own."""
    from carryall.catalog.migrate import migrate_postgres  # noqa: PLC0415  # most tests needn't wait for them
    from carryall.testing.postgres import Postgres  # noqa: PLC0415  # the same

    with TemporaryDirectory(prefix="carryall-postgres-") as folder:  # pytest's own folders are open to root alone
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder), migrate_postgres)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def servers_database(request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Give what the environment of a new server needs for a database of its own: nothing where that is SQLite."""
    if not SERVERS_USE_POSTGRES:
        return dict
    server = request.getfixturevalue("postgres")
    return lambda: {"CARRYALL_DATABASE_URL": server.url(server.new_database())}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fail tests that would be skipped where CARRYALL_TEST_REQUIRE=all: what CI leaves out, nobody tests."""
    report = yield
    if SKIPS_ARE_FAILURES and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped although CARRYALL_TEST_REQUIRE=all: {report.longrepr[2]}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same for files that skip as a whole."""
    report = yield
    if SKIPS_ARE_FAILURES and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was skipped although CARRYALL_TEST_REQUIRE=all: {report.longrepr[2]}"
    return report
