"""tuspy, the Python client of the tus project, against real servers."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError
from tusclient.storage.filestorage import FileStorage

MB = 1_000_000
DOCUMENT = Path(__file__).parents[2] / "docs" / "resumable.md"

Uploader = Callable[..., Any]


@pytest.fixture
def uploader(target: Any, photo: Path) -> Iterator[Uploader]:
    """Make a client of its own for the photo. A file that it opens by a path itself tuspy never closes."""
    with ExitStack() as streams:

        def make(endpoint: str = "/files/", *, headers: dict[str, str] | None = None, **options: Any) -> Any:
            client = TusClient(target.url + endpoint, headers=headers or dict(target.headers))
            if "store_url" not in options:  # then it takes only paths
                options["file_stream"] = streams.enter_context(photo.open("rb"))
            return client.uploader(**options)

        yield make


@pytest.mark.parametrize("endpoint", ["/files/", "/v1/uploads/", "/upload_tus/"])
def test_a_plain_upload(uploader: Uploader, target: Any, photo: Path, endpoint: str) -> None:
    """It uploads a file in one request, to each endpoint."""
    name = f"to{endpoint.replace('/', '-')}.bin"
    one = uploader(endpoint, metadata={"filename": name})
    one.upload()

    assert photo.read_bytes() == target.file(one.url)
    assert name in target.names()


@pytest.mark.parametrize(
    ("target", "checked"),
    [("one process", False), ("two processes", True), ("buffering nginx", True), ("sub-path", True)],
    indirect=["target"],
)
def test_chunks(uploader: Uploader, target: Any, photo: Path, *, checked: bool) -> None:
    """It uploads in chunks, with or without a checksum for each."""
    one = uploader(chunk_size=2 * MB, upload_checksum=checked)
    one.upload()

    assert photo.read_bytes() == target.file(one.url)


@pytest.mark.parametrize(
    "target", ["one process", "two processes", "nginx", "buffering nginx", "sub-path"], indirect=True
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_resume_with_a_new_client(uploader: Uploader, target: Any, photo: Path, tmp_path: Path) -> None:
    """An upload that one client object left in the middle is finished by another, at the same URL."""
    places = FileStorage(str(tmp_path / "places"))
    options: dict[str, Any] = {"file_path": str(photo), "chunk_size": MB, "store_url": True, "url_storage": places}
    first = uploader(**options)
    first.upload(stop_at=3 * MB)
    second = uploader(**options)
    begun_at = second.offset
    second.upload()
    places.close()

    assert (first.url, 3 * MB) == (second.url, begun_at)
    assert photo.read_bytes() == target.file(second.url)


@pytest.mark.parametrize("target", ["one process", "sub-path"], indirect=True)
def test_the_document_uploads(target: Any, photo: Path, tmp_path: Path) -> None:
    """What docs/resumable.md tells to write uploads a file."""
    block = re.search(
        r"^\*\*tuspy\*\*:\n\n```python\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert block is not None
    shutil.copy(photo, tmp_path / "film.mp4")
    text = f"token = {target.token!r}\n" + block[1].replace("https://files.example.org", target.url)
    text += "print(uploader.url)\n"
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, check=False, timeout=50)

    assert 0 == done.returncode, done.stderr.decode()
    assert photo.read_bytes() == target.file(done.stdout.decode().strip())
    assert ["film.mp4"] == target.names()


def test_a_wrong_token(uploader: Uploader) -> None:
    """A wrong token is told as what it is."""
    with pytest.raises(TusCommunicationError) as failure:
        uploader(headers={"Authorization": "Bearer cya_wrong"}, retries=0).upload()

    assert 401 == failure.value.status_code
