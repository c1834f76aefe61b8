"""Real servers for other people's clients, with what stands before them, and what is uploaded."""

import random
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from tests.clients.fronts import ADMIN_TOKEN, start_nginx, start_server
from tests.servers.mega.launch import FakeMega

HERE = Path(__file__).parent


@dataclass
class Target:
    """Where a client uploads to, and as whom. `url` has no trailing slash; `folder` is where all servers work."""

    url: str
    folder: Path
    headers: Mapping[str, str]

    @property
    def token(self) -> str:
        """The user's token."""
        return self.headers["Authorization"].removeprefix("Bearer ")

    def file(self, url: str) -> bytes:
        """Give the bytes of the file that an upload became."""
        assert url.startswith(self.url), f"{url} isn't below {self.url}"
        answer = httpx2.get(url, headers=dict(self.headers), timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.content

    def names(self) -> list[str]:
        """Give the names of all files."""
        answer = httpx2.get(f"{self.url}/v1/files", headers=dict(self.headers), timeout=30)
        return [file["name"] for file in answer.json()["files"]]


@pytest.fixture(scope="session")
def fronts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where servers and nginx keep what they have."""
    return tmp_path_factory.mktemp("fronts")


@pytest.fixture(scope="session")
def front(require_program: Callable[[str], str], fronts_folder: Path) -> Iterator[Callable[[str], str]]:
    """Give a front's address, and start what stands there when it is first asked for.

    "one process" and "two processes" are asked directly; "nginx" (the example), "buffering nginx" and "sub-path" stand
    before two processes.
    """
    folder = fronts_folder
    urls: dict[str, str] = {}
    with ExitStack() as stack:

        def find(name: str) -> str:
            if name == "one process" and name not in urls:
                urls[name] = start_server(folder / "one", stack, workers=1)
            elif name not in urls and "two processes" not in urls:
                urls["two processes"] = start_server(folder / "two", stack, workers=2)
            if name not in urls:
                urls.update(start_nginx(require_program("nginx"), folder / "nginx", stack, urls["two processes"]))
            return urls[name]

        yield find


@pytest.fixture(params=["one process"])
def target(request: pytest.FixtureRequest, front: Callable[[str], str], fronts_folder: Path) -> Target:
    """A front, with a user of its own; parametrize it indirectly for others than the plain server."""
    url, name = front(request.param), f"erin-{secrets.token_hex(4)}"
    admin = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    with httpx2.Client(base_url=url, headers=admin, timeout=30) as client:
        assert 201 == client.post("/v1/users", json={"name": name}).status_code
        token = client.get(f"/user/{name}").json()["token"]
    return Target(url, fronts_folder, {"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 6 MB and a byte that compresses badly."""
    path = tmp_path_factory.mktemp("photo") / "photo.bin"
    path.write_bytes(random.Random(11).randbytes(6_000_001))
    return path


@pytest.fixture(scope="session")
def node_folder(require_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the clients for node and browsers, as the lock file has them."""
    npm = require_program("npm")
    made = tmp_path_factory.mktemp("js")
    for file in (HERE / "js").iterdir():
        if file.is_file():
            shutil.copy(file, made)
    subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=made, check=True, capture_output=True
    )
    return made


@pytest.fixture
def node(require_program: Callable[[str], str], node_folder: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run something with node where the clients are."""
    program = require_program("node")

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([program, *arguments], cwd=node_folder, capture_output=True, check=False, timeout=50)

    return run


@pytest.fixture(scope="session")
def mega(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeMega]:
    """A MEGA on this machine. All tests share it: make accounts of your own, and `clear()` it first."""
    with FakeMega(tmp_path_factory.mktemp("mega")) as running:
        yield running
