"""`carryall stores ls` and `test`: what is set up, whether it works, and what to look at when it doesn't."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers.mega.launch import FakeMega
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, S3Server

STEPS = [
    "ready", "write 1 KiB", "write 8 MiB", "look", "read a range", "read 8 MiB", "list", "link", "room", "erase",
]  # fmt: skip


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give a server with a bucket in which somebody else has a file."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.boto3().put_object(Bucket="files", Key="theirs", Body=b"x")
    yield server
    server.kill()


@pytest.fixture
def bucket(place: Any, s3: S3Server) -> None:
    """Set up the store s3 by its described names."""
    place.set(
        S3_ENDPOINT_URL=s3.url,
        S3_BUCKET_NAME="files",
        S3_ACCESS_KEY=ACCESS_KEY,
        S3_SECRET_KEY=SECRET_KEY,
        S3_REGION_NAME="us-east-1",
    )


def local_disk(place: Any) -> Path:
    """Set up a second local store; give its folder."""
    root = Path(place.folder) / "disk2"
    place.set(CARRYALL_STORE_DISK2_KIND="local", CARRYALL_STORE_DISK2_ROOT=str(root))
    return root


@pytest.mark.usefixtures("bucket")
def test_a_bucket_is_tried_out(place: Any, s3: S3Server) -> None:
    """Every step is timed and works against a real server; afterwards nothing of ours is left, and theirs is there."""
    done = place.run("stores", "test", "S3")
    lines = [line.split("\t") for line in done.stdout.splitlines()]

    assert 0 == done.returncode, done.stderr
    assert STEPS == [line[0] for line in lines]
    assert all(line[1].endswith(" ms") for line in lines)
    assert "Store s3 works." in done.stderr
    assert ["theirs"] == s3.all_keys()


def test_an_account_at_mega_is_tried_out(place: Any, tmp_path: Path) -> None:
    """Links and room are the account's own; the steps are the same, and nothing is left."""
    with FakeMega(tmp_path / "mega") as mega:
        mega.account("box@example.com", "open sesame")
        place.set(MEGA_EMAIL="box@example.com", MEGA_PASSWORD="open sesame", MEGA_API_URL=mega.url)
        steps = json.loads(place.result("stores", "test", "mega", "--json"))
        assert not [path for path in mega.files("box@example.com") if path.endswith(".bin")]

        place.set(MEGA_PASSWORD="not that")
        refused = place.run("stores", "test", "mega")

    assert STEPS == [step["step"] for step in steps]
    assert "at mega.nz" == steps[7]["note"]
    assert {None} == {step["error"] for step in steps}
    assert 1 == refused.returncode
    assert "Look at MEGA_EMAIL, MEGA_PASSWORD, CARRYALL_STORE_MEGA_TOTP_SECRET." in refused.stderr
    assert "not that" not in refused.stderr + refused.stdout


def test_local_stores_are_tried_out(place: Any) -> None:
    """The built-in one and a second one; their folders are empty afterwards."""
    root = local_disk(place)

    for name in ("local", "disk2"):
        assert STEPS == [line.split("\t")[0] for line in place.result("stores", "test", name).splitlines()]
    for folder in (root, place.data / "files"):
        assert [] == [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("wrong", "code", "names"),
    [
        ({"S3_SECRET_KEY": "wrong-hush"}, "store_credentials", "S3_ACCESS_KEY, S3_SECRET_KEY"),
        ({"S3_BUCKET_NAME": "none-of-ours"}, "store_not_found", "S3_BUCKET_NAME, S3_ENDPOINT_URL"),
        ({"S3_ENDPOINT_URL": "http://127.0.0.1:9"}, "store_unreachable", "S3_ENDPOINT_URL"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_to_look_at_is_said(place: Any, wrong: dict[str, str], code: str, names: str) -> None:
    """A failure is status 1, with its reason and the settings by the names that were used; no secret is shown."""
    place.set(**wrong)

    done = place.run("stores", "test", "s3", "--json")

    (step,) = json.loads(done.stdout)
    assert (1, "ready", code) == (done.returncode, step["step"], step["code"])
    assert "It failed (ready): " in done.stderr
    assert f"Look at {names}" in done.stderr
    assert "hush" not in done.stdout + done.stderr


def test_a_store_that_is_not_set_up(place: Any) -> None:
    """Its name is said, and those there are."""
    local_disk(place)

    done = place.run("stores", "test", "photos")

    assert 1 == done.returncode
    assert "There is no store photos in the settings. There is: local, disk2." in done.stderr


@pytest.mark.usefixtures("bucket")
def test_the_list(place: Any) -> None:
    """Kind, state and what is to be there, also of a store that fails, or was taken out of the settings."""
    local_disk(place)
    place.set(CARRYALL_TARGET="local,disk2", S3_BUCKET_NAME="none-of-ours")
    server = place.serve()
    with server.client(place.jwt("carol")) as client:
        assert 201 == client.post("/v1/files?name=a", content=b"carried").status_code
    server.stop()

    rows = {row["name"]: row for row in json.loads(place.result("stores", "ls", "--json"))}
    del place.environment["CARRYALL_STORE_DISK2_KIND"]
    del place.environment["CARRYALL_STORE_DISK2_ROOT"]
    place.set(CARRYALL_TARGET="local")
    lines = [line.split("\t") for line in place.result("stores", "ls").splitlines()]

    assert ["local", "disk2", "s3"] == sorted(rows, key=["local", "disk2", "s3"].index)
    assert ("local", "ok", 1, 7) == tuple(rows["disk2"][name] for name in ("kind", "state", "files", "bytes"))
    assert rows["local"]["room"]["free"] > 0
    assert ("s3", 0) == (rows["s3"]["kind"], rows["s3"]["files"])
    assert "no such bucket" in rows["s3"]["state"]
    assert ["disk2", "-", "not in the settings", "-", "1", "7 bytes"] == lines[-1]


def test_a_store_that_fails_stops_nothing(place: Any) -> None:
    """With a bucket that isn't reached, a folder that can't be made and no rclone the server starts and serves."""
    place.set(
        S3_ENDPOINT_URL="http://127.0.0.1:9", S3_BUCKET_NAME="files", S3_ACCESS_KEY="AKIA99", S3_SECRET_KEY="hush-hush",
        MEGA_EMAIL="box@example.com", MEGA_PASSWORD="hush-hush", MEGA_API_URL="http://127.0.0.1:9",
        CARRYALL_STORE_DRIVE_KIND="rclone", CARRYALL_STORE_DRIVE_REMOTE="none:x",
        CARRYALL_STORE_DRIVE_BINARY="/nowhere/rclone",
        CARRYALL_STORE_DISK2_KIND="local", CARRYALL_STORE_DISK2_ROOT="/proc/carryall",
    )  # fmt: skip
    server = place.serve()
    with server.client(place.jwt("carol")) as client:
        stored = client.post("/v1/files?name=a", content=b"carried")
        ready = client.get("/ready")
        status = client.get("/status")
    assert 0 == server.stop()

    checks = ready.json()["checks"]
    assert (201, 200, "degraded") == (stored.status_code, ready.status_code, ready.json()["status"])
    names = {"s3", "mega", "drive", "disk2"}
    assert {"local", *names} == set(status.json()["supported_services"])
    assert names == {name.removeprefix("store:") for name, answer in checks.items() if answer != "ok"}
    assert "hush" not in ready.text + place.log()


def test_a_plan_whose_store_is_gone(place: Any) -> None:
    """The server starts and says so; who has the plan is told what is wrong, and everybody else is served."""
    local_disk(place)
    server = place.serve()
    admin = (place.data / "secrets" / "admin_token").read_text().strip()
    with server.client({"Authorization": f"Bearer {admin}"}) as client:
        assert 200 == client.put("/v1/plans/gold", json={"target": "local,disk2"}).status_code
        assert 201 == client.post("/v1/users", json={"name": "alice", "plan": "gold"}).status_code
        token = client.get("/user/alice").json()["token"]
    server.stop()
    for name in ("KIND", "ROOT"):
        del place.environment[f"CARRYALL_STORE_DISK2_{name}"]

    server = place.serve()
    with server.client({"Authorization": f"Bearer {token}"}) as client:
        refused = client.post("/v1/files?name=a", content=b"carried")
        elsewhere = client.post("/v1/files?name=a&service=local", content=b"carried")
    with server.client(place.jwt("carol")) as client:
        assert 201 == client.post("/v1/files?name=a", content=b"carried").status_code
    assert 0 == server.stop()

    assert (503, "plan_store_unknown") == (refused.status_code, refused.json()["code"])
    assert "The plan gold sends files to disk2, which isn't set up." in refused.json()["detail"]
    assert 201 == elsewhere.status_code
    assert "plan.store_unknown" in place.log()
