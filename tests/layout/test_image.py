"""The container image: it can't be built in the tests, but what it is made from can be read."""

import subprocess
import sys
from pathlib import Path

import yaml


def lint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    """Run hadolint, which is installed beside the interpreter."""
    hadolint = Path(sys.executable).with_name("hadolint")
    return subprocess.run([hadolint, "--no-color", dockerfile], capture_output=True, check=False, text=True)


def test_the_dockerfile_is_clean(root: Path) -> None:
    """The linter finds nothing, hints included."""
    result = lint(root / "Dockerfile")

    assert "" == result.stdout
    assert 0 == result.returncode


def test_a_careless_dockerfile_is_seen(tmp_path: Path) -> None:
    """The linter sees an image without a tag, and packages without a version."""
    careless = tmp_path / "Dockerfile"
    careless.write_text("FROM python\nRUN pip install carryall\n")

    assert {"DL3006", "DL3013", "DL3042"} <= {line.split()[1] for line in lint(careless).stdout.splitlines()}


def test_the_image_runs_without_privileges(root: Path) -> None:
    """The last stage changes to a user that isn't root, keeps data in a volume and answers health checks."""
    last_stage = (root / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]
    instructions = {line.split()[0]: line.split()[1:] for line in last_stage.splitlines() if line[:1].isupper()}

    assert ["/data"] == instructions["VOLUME"]
    assert instructions["USER"] not in ([], ["root"], ["0"])
    assert "HEALTHCHECK" in instructions


def test_compose_publishes_to_this_machine_only(root: Path) -> None:
    """The compose file keeps the data in a named volume, reads .env, and opens no port to the network by itself."""
    composed = yaml.safe_load((root / "compose.yaml").read_text("utf-8"))
    server = composed["services"]["carryall"]

    assert all(port.startswith("127.0.0.1:") for port in server["ports"])
    assert ["carryall-data:/data"] == server["volumes"]
    assert "carryall-data" in composed["volumes"]
    assert [".env"] == [file["path"] for file in server["env_file"]]
