"""megajs, rclone and async-mega-py against the MEGA of our tests: they are content with it, so it talks like MEGA."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.clients.mega_peers import PASSWORD, Login, make_files, make_peer
from tests.servers.mega.launch import FakeMega

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DP"
PEERS = ["megajs", "rclone", "async-mega-py"]
everybody = pytest.mark.parametrize("client", PEERS)
Make = Callable[..., Any]


@pytest.fixture
def make(mega: FakeMega, request: pytest.FixtureRequest) -> Make:
    """Give a client by its name, with a new account of its own."""

    def made(client: str, *, login: Login | None = None, version: int = 2, mfa: str | None = None) -> Any:
        if login is None:
            login = Login(mega.url, f"erin-{secrets.token_hex(4)}@example.com", mfa)
            mega.account(login.email, PASSWORD, version=version, mfa=mfa)
        return make_peer(client, login, lambda: request.getfixturevalue("node"))

    mega.clear()
    return made


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Files of all sizes that matter, each named by its size."""
    return make_files(tmp_path / "files")


@everybody
def test_old_accounts(make: Make, client: str) -> None:
    """Accounts of version 1, whose passwords are worked on otherwise, log in too."""
    assert 0 == make(client, version=1).used_bytes()


@everybody
def test_uploads_and_downloads(make: Make, mega: FakeMega, files: list[Path], tmp_path: Path, client: str) -> None:
    """What is uploaded is what it was, and can be downloaded."""
    peer, out, unfinished = make(client), tmp_path / "out", mega.state["uploads"]
    out.mkdir()

    peer.upload(files)
    peer.download([path.name for path in files], out)

    assert all(path.read_bytes() == (out / path.name).read_bytes() for path in files)
    stored = mega.files(peer.login.email)
    assert {f"/{path.name}" for path in files} == set(stored)
    assert all(path.read_bytes() == mega.bytes(stored[f"/{path.name}"]["handle"]) for path in files)
    assert [("mac", size) for size in sorted(peer.errs)] == sorted(told(mega))
    assert unfinished == mega.state["uploads"]


def test_ranges_of_megajs(make: Make, files: list[Path], tmp_path: Path) -> None:
    """Ranges needn't begin with a block, over one connection and over several."""
    peer, whole = make("megajs"), next(path for path in files if path.name == "400000")
    ranges = [(0, 2, 1), (15, 17, 4), (131_071, 131_073, 1), (100_003, 399_999, 1), (99_999, 400_000, 4)]
    steps = [
        ["download", whole.name, str(tmp_path / str(start)), {"start": start, "end": stop - 1, "maxConnections": most}]
        for start, stop, most in ranges
    ]

    peer.run(["upload", whole.name, str(whole)], *steps)

    for start, stop, _ in ranges:
        assert whole.read_bytes()[start:stop] == (tmp_path / str(start)).read_bytes()


def test_ranges_of_rclone(make: Make, files: list[Path]) -> None:
    """Ranges needn't begin with a block."""
    peer = make("rclone")
    whole = next(path for path in files if path.name == "400000")
    peer.upload([whole])

    got = peer.run("cat", "--offset", "100003", "--count", "200001", f"mega:{whole.name}")

    assert whole.read_bytes()[100_003:300_004] == got


@pytest.mark.parametrize(
    ("client", "reader"), [("megajs", "async-mega-py"), ("async-mega-py", "megajs"), ("rclone", "megajs")]
)
def test_links(make: Make, files: list[Path], tmp_path: Path, client: str, reader: str) -> None:
    """A public link of one client is followed by another: by nobody in particular, or by somebody else."""
    peer, whole = make(client), next(path for path in files if path.name == "400000")
    peer.upload([whole])

    got = make(reader).download_link(peer.link(whole.name), tmp_path)

    assert (tmp_path / "400000", whole.read_bytes()) == (got, got.read_bytes())


@everybody
def test_erasing_and_the_quota(make: Make, mega: FakeMega, files: list[Path], client: str) -> None:
    """The quota counts what is there, and not what was deleted."""
    peer = make(client)
    peer.upload(files[1:3])

    peer.erase(files[2].name)

    assert 1 == peer.used_bytes()
    assert ["/1"] == list(mega.files(peer.login.email))


@everybody
def test_no_room(make: Make, mega: FakeMega, files: list[Path], client: str) -> None:
    """What doesn't fit is refused before a byte is sent."""
    peer = make(client)
    mega.account(peer.login.email, quota_bytes=1000)

    with pytest.raises(Exception, match=r"(?i)quota"):
        peer.upload([files[-1]])

    assert 0 == mega.count("chunk")


@pytest.mark.parametrize("client", ["megajs", "rclone"])
def test_the_second_factor(make: Make, client: str) -> None:
    """With the six digits it is let in; without, or with others, it isn't."""
    peer = make(client, mfa=SECRET)
    others = [Login(peer.login.url, peer.login.email, mfa) for mfa in (None, SECRET[::-1])]

    assert 0 == peer.used_bytes()
    for login in others:
        with pytest.raises(AssertionError):
            make(client, login=login).used_bytes()


@everybody
def test_a_proof_of_work(make: Make, mega: FakeMega, client: str) -> None:
    """A challenge at the login is solved."""
    peer = make(client)
    mega.fault("cs", command="us", hashcash=252)

    assert 0 == peer.used_bytes()
    assert (2, []) == (mega.count("us"), told(mega))


def test_moving_and_renaming(make: Make, mega: FakeMega, files: list[Path]) -> None:
    """Files change their places and names."""
    peer = make("megajs")
    steps: list[list[Any]] = [["mkdir", "box"]] + [["upload", path.name, str(path)] for path in files[:3]]
    one, two, three = (path.name for path in files[:3])

    peer.run(*steps, ["move", one, "box"], ["rename", two, "ä € 𝄞.txt"], ["trash", three])

    assert {f"/box/{one}", "/ä € 𝄞.txt", f"rubbish:/{three}"} == set(mega.files(peer.login.email))


def test_a_link_is_taken_back(make: Make, files: list[Path], tmp_path: Path) -> None:
    """A link that was taken back leads nowhere."""
    peer = make("megajs")
    _, url, _ = peer.run(["upload", "a", str(files[1])], ["link", "a"], ["unlink", "a"])

    with pytest.raises(AssertionError, match="ENOENT"):
        peer.download_link(url, tmp_path)


def told(mega: FakeMega) -> list[tuple[str, Any]]:
    """Give what the server blames clients for."""
    return [(one["kind"], one["detail"]) for one in mega.violations]
