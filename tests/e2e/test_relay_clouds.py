"""Files go through Carryall to S3 and to MEGA, whoever sends them, and come back from there with other programs."""

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.servers.mega.launch import FakeMega
from tests.wire.clouds import Cloud, cloud_in, copy_in
from tests.wire.sse import Source

EMAIL, PASSWORD = "box@example.com", "open sesame"
MIB = 1 << 20


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An S3 server."""
    with cloud_in(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture(scope="module")
def mega(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeMega]:
    """A MEGA with an account."""
    with FakeMega(tmp_path_factory.mktemp("mega")) as made:
        made.account(EMAIL, PASSWORD)
        yield made
        assert [] == made.violations


@pytest.fixture(scope="module")
def settings(cloud: Cloud, mega: FakeMega) -> dict[str, str]:
    """What the described relay and its sister were told, together."""
    account = {"MEGA_EMAIL": EMAIL, "MEGA_PASSWORD": PASSWORD, "MEGA_API_URL": mega.url}
    parts = {"CARRYALL_STORE_S3_PART_MB": "5", "CARRYALL_STORE_S3_PARALLEL_PARTS": "1"}
    return cloud.settings(**account, **parts, CARRYALL_USER_MAX_FILE_MB="100", CARRYALL_USER_TOTAL_MB="1000")


@pytest.fixture(scope="module")
def server(make_module_server: Callable[..., Any], settings: dict[str, str]) -> Any:
    """A server with both, beside its own folder."""
    return make_module_server(**settings)


@pytest.fixture
def relayed(server: Any, require_program: Callable[[str], str]) -> Callable[[Path, str], dict[str, Any]]:
    """Give a function that sends a file as a game does: libcurl's form, and a service in the query."""

    def send(path: Path, query: str) -> dict[str, Any]:
        command = [require_program("curl"), "-sS", "-H", f"X-Auth-Token: {server.service_token}", "-F", f"file=@{path}"]
        command += ["-w", "\n%{http_code}", f"{server.url}/upload{query}"]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
        body, _, status = done.stdout.decode().rpartition("\n")
        assert "200" == status, body
        return dict(json.loads(body))

    return send


def a_file(folder: Path, size: int, name: str = "level ü.dat") -> Path:
    """Write a file that nobody else has."""
    path = folder / name
    path.write_bytes(random.Random(size).randbytes(size))
    return path


@pytest.mark.parametrize("query", ["?service=mega", ""])
def test_relay_to_mega(
    relayed: Callable[..., Any], mega: FakeMega, node: Callable[..., Any], tmp_path: Path, query: str
) -> None:
    """A form goes in, a MEGA link comes out, and megajs gets the same bytes by it; MEGA is where relay's files go."""
    path = a_file(tmp_path, 300_000 + len(query))

    told = relayed(path, query)

    assert ("mega", "level ü.dat") == (told["service"], told["filename"])
    assert told["link"].startswith("https://mega.nz/file/")
    out = tmp_path / "out"
    done = node("mega_download.mjs", told["link"], mega.url, str(out))
    assert 0 == done.returncode, done.stderr.decode()
    assert {"name": "level ü.dat", "size": path.stat().st_size} == json.loads(done.stdout)
    assert path.read_bytes() == out.read_bytes()
    assert path.read_bytes() == httpx2.get(told["file_url"]).content


def test_relay_to_s3(relayed: Callable[..., Any], cloud: Cloud, tmp_path: Path) -> None:
    """The same form, and a link of ours, which gives what the bucket has."""
    path = a_file(tmp_path, 6 * MIB)

    told = relayed(path, "?service=s3")

    assert path.read_bytes() == httpx2.get(told["link"]).content
    assert path.read_bytes() == cloud.objects()[f"service%3Arelay/{told['file_id']}/level%20%C3%BC.dat"]


def test_a_session_that_expired(relayed: Callable[..., Any], mega: FakeMega, tmp_path: Path) -> None:
    """MEGA ended the session: nobody hears of it."""
    relayed(a_file(tmp_path, 1000), "?service=mega")
    mega.expire("sessions")

    assert "mega" == relayed(a_file(tmp_path, 1001), "?service=mega")["service"]


def test_one_upload_to_three_places(server: Any, cloud: Cloud, mega: FakeMega, tmp_path: Path) -> None:
    """The S3 server dies half-way: the client has its answer, and when it is back every copy is there, in order."""
    path = a_file(tmp_path, 24 * MIB)
    _, user = server.new_user()
    with server.client(headers=user) as client, closing(Source(server.url, user)) as events:
        began_s = time.monotonic()
        answer = client.post("/v1/files?name=film.bin&service=local,s3,mega", content=path.read_bytes())
        assert 201 == answer.status_code
        took_s, file_id = time.monotonic() - began_s, answer.json()["id"]
        until(cloud.open_uploads)
        cloud.kill()
        until(lambda: copy_in(client, file_id)["state"] == "failed")
        assert "store_unreachable" == copy_in(client, file_id)["code"]
        assert path.read_bytes() == client.get(f"/v1/files/{file_id}/content").content

        cloud.start()
        assert client.post(f"/v1/files/{file_id}/copies/s3/retry").status_code < 300
        until(lambda: client.get(f"/v1/files/{file_id}").json()["is_delivered"])

        copies = {copy["store"]: copy["state"] for copy in client.get(f"/v1/files/{file_id}").json()["copies"]}
        assert dict.fromkeys(("local", "s3", "mega"), "stored") == copies
        assert took_s < 20
        (in_s3,) = (found for key, found in cloud.objects().items() if key.endswith("/film.bin"))
        in_mega = mega.bytes(mega.files(EMAIL)["/Carryall/film.bin"]["handle"])
        assert path.read_bytes() == in_s3 == in_mega
        events.wait(lambda: [one.type for one in events.events].count("copy.stored") >= 2, "both copies")
        told = [(one.type, one.data["data"].get("store")) for one in events.events]
        of_s3 = [kind for kind, store in told if store == "s3"]
        assert ("file.stored", None) == told[0]
        assert ["copy.failed", "copy.stored"] == [*dict.fromkeys(of_s3)]
        assert ("copy.stored", "mega") in told


def until(is_true: Callable[[], Any]) -> None:
    """Wait for something that the server does."""
    deadline = time.monotonic() + 40
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("wrong", "service", "code"),
    [
        ({"S3_SECRET_KEY": "wrong"}, "s3", "store_credentials"),
        ({"S3_BUCKET_NAME": "nobodys"}, "s3", "store_not_found"),
        ({"MEGA_PASSWORD": "wrong"}, "mega", "store_credentials"),
    ],
    ids=["key", "bucket", "password"],
)
def test_settings_that_are_wrong(
    make_server: Callable[..., Any], settings: dict[str, str], wrong: dict[str, str], service: str, code: str
) -> None:
    """The server starts and serves the rest; relay and the copy say what is wrong."""
    server = make_server(**{**settings, **wrong})
    with server.client(headers=server.service) as client:
        answer = client.post(f"/upload?service={service}&fileName=a", content=b"content")

        assert (502, code, service) == (answer.status_code, answer.json()["code"], answer.json()["store"]), answer.text
        copy = copy_in(client, answer.json()["file_id"], service)
        assert ("failed", code) == (copy["state"], copy["code"])
        assert int(answer.headers["retry-after"]) > 300  # somebody has to correct it first
        assert 200 == client.post("/upload?service=local&fileName=a", content=b"content").status_code
