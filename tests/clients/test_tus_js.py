"""tus-js-client, which Uppy and most browsers' uploads are made of, under node against a real server."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MB = 1_000_000
HERE = Path(__file__).parent / "js"

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def folder(require_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client as the lock file has it."""
    npm = require_program("npm")
    made = tmp_path_factory.mktemp("js")
    for file in HERE.iterdir():
        shutil.copy(file, made)
    subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=made, check=True, capture_output=True
    )
    return made


@pytest.fixture
def run(require_program: Callable[[str], str], folder: Path, target: Any, photo: Path, tmp_path: Path) -> Run:
    """Upload the photo in a process of its own; give what the client tells."""
    node = require_program("node")

    def upload(*, headers: dict[str, str] | None = None, job: dict[str, Any] | None = None, **options: Any) -> Any:
        told = {
            "file": str(photo),
            "storage": str(tmp_path / "places.json"),
            **(job or {}),
            "options": {
                "endpoint": f"{target.url}/files/",
                "headers": headers or dict(target.headers),
                "metadata": {"filename": "photo.bin", "filetype": "application/octet-stream"},
                "retryDelays": [],
                **options,
            },
        }
        done = subprocess.run(
            [node, "upload.mjs", json.dumps(told)], cwd=folder, capture_output=True, check=False, timeout=50
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    return upload


@pytest.mark.parametrize("endpoint", ["/files/", "/v1/uploads/", "/upload_tus/"])
def test_a_plain_upload(run: Run, target: Any, photo: Path, endpoint: str) -> None:
    """It uploads 8 MB in one request, to each endpoint."""
    told = run(endpoint=target.url + endpoint)

    assert ["POST", "PATCH"] == told["requests"]
    assert photo.read_bytes() == target.file(told["url"])


@pytest.mark.parametrize("options", [{"chunkSize": 3 * MB}, {"chunkSize": 3 * MB, "overridePatchMethod": True}])
def test_chunks(run: Run, target: Any, photo: Path, options: dict[str, Any]) -> None:
    """It uploads in chunks, also where the network lets no PATCH through."""
    told = run(**options)

    assert 4 == len(told["requests"])
    assert photo.read_bytes() == target.file(told["url"])


def test_bytes_with_the_creation(run: Run, target: Any, photo: Path) -> None:
    """It sends the bytes along with the creation."""
    told = run(uploadDataDuringCreation=True)

    assert ["POST"] == told["requests"]
    assert photo.read_bytes() == target.file(told["url"])


def test_resume_after_abort(run: Run, target: Any, photo: Path) -> None:
    """An upload that one process left in the middle is finished by another, at the same URL."""
    left = run(chunkSize=MB, job={"stopAt": 3 * MB})
    told = run(chunkSize=2 * MB)

    assert left["url"] == told["url"]
    assert ["HEAD", "PATCH", "PATCH", "PATCH"] == told["requests"]
    assert photo.read_bytes() == target.file(told["url"])


def test_parallel_uploads(run: Run, target: Any, photo: Path) -> None:
    """Three parts at once become one file."""
    told = run(parallelUploads=3)

    assert (4, 3) == (told["requests"].count("POST"), told["requests"].count("PATCH"))
    assert photo.read_bytes() == target.file(told["url"])


def test_a_length_that_comes_last(run: Run, target: Any, photo: Path) -> None:
    """A stream whose length nobody knows is uploaded as it comes."""
    told = run(job={"deferred": True}, uploadLengthDeferred=True, chunkSize=3 * MB)

    assert photo.read_bytes() == target.file(told["url"])


def test_a_wrong_token(run: Run) -> None:
    """A wrong token is told as what it is."""
    told = run(headers={"Authorization": "Bearer cya_wrong"})

    assert 401 == told["status"]
    assert ["POST"] == told["requests"]
