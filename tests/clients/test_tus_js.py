"""tus-js-client, which Uppy and most browsers' uploads are made of, under node against real servers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MB = 1_000_000

Run = Callable[..., dict[str, Any]]
BEFORE_TWO = ["two processes", "nginx", "buffering nginx", "sub-path"]
everywhere = pytest.mark.parametrize("target", ["one process", *BEFORE_TWO], indirect=True)


@pytest.fixture
def run(node: Callable[..., Any], target: Any, photo: Path, tmp_path: Path) -> Run:
    """Upload the photo in a process of its own; give what the client tells."""

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
        done = node("upload.mjs", json.dumps(told))
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    return upload


@pytest.mark.parametrize("endpoint", ["/files/", "/v1/uploads/", "/upload_tus/"])
def test_a_plain_upload(run: Run, target: Any, photo: Path, endpoint: str) -> None:
    """It uploads 6 MB in one request, to each endpoint."""
    told = run(endpoint=target.url + endpoint)

    assert ["POST", "PATCH"] == told["requests"]
    assert photo.read_bytes() == target.file(told["url"])


@pytest.mark.parametrize(
    ("target", "options"), [("two processes", {}), ("nginx", {"overridePatchMethod": True})], indirect=["target"]
)
def test_chunks(run: Run, target: Any, photo: Path, options: dict[str, Any]) -> None:
    """It uploads in chunks, also where the network lets no PATCH through."""
    told = run(chunkSize=3 * MB, **options)

    assert 4 == len(told["requests"])
    assert photo.read_bytes() == target.file(told["url"])


@pytest.mark.parametrize("target", ["one process", "buffering nginx"], indirect=True)
def test_bytes_with_the_creation(run: Run, target: Any, photo: Path) -> None:
    """It sends the bytes along with the creation."""
    told = run(uploadDataDuringCreation=True)

    assert ["POST"] == told["requests"]
    assert photo.read_bytes() == target.file(told["url"])


@everywhere
def test_resume_after_abort(run: Run, target: Any, photo: Path) -> None:
    """An upload that one process left between chunks is finished by another, at the same URL."""
    left = run(chunkSize=MB, job={"stopAt": 3 * MB})
    told = run(chunkSize=2 * MB)

    assert left["url"] == told["url"]
    assert ["HEAD", "PATCH", "PATCH"] == told["requests"]
    assert photo.read_bytes() == target.file(told["url"])


@everywhere
def test_resume_after_abort_in_a_request(run: Run, target: Any, photo: Path) -> None:
    """An upload that one process broke off in the middle of its only request is finished by another."""
    left = run(job={"breaksOff": True})
    told = run()

    assert left["url"] == told["url"]
    assert ["HEAD", "PATCH"] == told["requests"]
    assert photo.read_bytes() == target.file(told["url"])


@everywhere
def test_parallel_uploads(run: Run, target: Any, photo: Path) -> None:
    """Three parts at once become one file."""
    told = run(parallelUploads=3)

    assert (4, 3) == (told["requests"].count("POST"), told["requests"].count("PATCH"))
    assert photo.read_bytes() == target.file(told["url"])


@pytest.mark.parametrize("target", BEFORE_TWO, indirect=True)
def test_a_length_that_comes_last(run: Run, target: Any, photo: Path) -> None:
    """A stream whose length nobody knows is uploaded as it comes."""
    told = run(job={"deferred": True}, uploadLengthDeferred=True, chunkSize=2 * MB)

    assert photo.read_bytes() == target.file(told["url"])


@pytest.mark.parametrize("target", BEFORE_TWO, indirect=True)
@pytest.mark.parametrize("protocol", ["ietf-draft-03", "ietf-draft-05"])
def test_I_A4_the_ietf_draft(run: Run, target: Any, photo: Path, protocol: str) -> None:
    """It speaks the IETF's draft, too: in chunks, left and resumed, until it is told of the end."""
    endpoint = f"{target.url}/files/?name=by-draft.bin"
    left = run(protocol=protocol, endpoint=endpoint, chunkSize=MB, job={"stopAt": 3 * MB})
    told = run(protocol=protocol, endpoint=endpoint, chunkSize=2 * MB)

    assert left["url"] == told["url"]
    assert ["HEAD", "PATCH", "PATCH"] == told["requests"]
    assert photo.read_bytes() == target.file(told["url"])
    assert ["by-draft.bin"] == target.names()


@pytest.mark.parametrize("protocol", ["ietf-draft-03", "ietf-draft-05"])
def test_one_protocol_after_another(run: Run, target: Any, photo: Path, protocol: str) -> None:
    """What it left by one protocol it finishes by another, at the same URL."""
    left = run(chunkSize=MB, job={"stopAt": 3 * MB})
    told = run(protocol=protocol)

    assert left["url"] == told["url"]
    assert photo.read_bytes() == target.file(told["url"])


@pytest.mark.parametrize("target", ["one process", "nginx", "buffering nginx"], indirect=True)
def test_a_wrong_token(run: Run) -> None:
    """A wrong token is told as what it is."""
    told = run(headers={"Authorization": "Bearer cya_wrong"})

    assert 401 == told["status"]
    assert ["POST"] == told["requests"]
