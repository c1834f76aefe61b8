"""Chunk sessions with STORAGE_BACKEND=s3: the file is in the bucket before the answer, under the described key."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from tests.servers.receiver import Receiver, receiving
from tests.wire.clouds import Cloud, cloud_in, copy_in
from tests.wire.test_relay_delivery import delivered

NAME = "höhe 1+1.mp3"
KEY = quote(NAME, safe="")
SECRET = "a secret between two services"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An S3 server."""
    with cloud_in(tmp_path_factory.mktemp("cloud")) as made:
        yield made


@pytest.fixture(scope="module")
def main_service() -> Iterator[Receiver]:
    """Whom the server notifies."""
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def server(make_module_server: Callable[..., Any], cloud: Cloud, main_service: Receiver) -> Any:
    """A server as the described system was set up."""
    hooked = {"MAIN_SERVICE_WEBHOOK_URL": main_service.url, "CARRYALL_WEBHOOK_SECRET": SECRET}
    return make_module_server(**cloud.settings(STORAGE_BACKEND="s3", CARRYALL_RELAY_WAIT="5", **hooked))


@pytest.fixture
def subject() -> str:
    """A user that nobody else is."""
    return f"u{secrets.token_hex(4)}@example"


@pytest.fixture
def client(server: Any, subject: str) -> Iterator[httpx2.Client]:
    """Their client."""
    with server.client(headers=server.bearer(server.jwt(subject))) as found:
        yield found


def sent(client: httpx2.Client, *pieces: bytes, file_id: int = 7, name: str = NAME) -> dict[str, Any]:
    """Send a file's chunks; give what completes it."""
    begin = {"main_service_file_id": file_id, "original_file_name": name}
    session = client.post("/upload/init", json=begin).json()["data"]["upload_session_id"]
    for index, piece in enumerate(pieces):
        fields = {"upload_session_id": session, "chunk_index": str(index)}
        assert 200 == client.post("/upload/chunk", data=fields, files={"chunk": piece}).status_code
    return {"upload_session_id": session, "total_chunks": len(pieces), "main_service_file_id": file_id}


def place(cloud: Cloud, subject: str, file_id: int = 7, key: str = KEY) -> str:
    """Give the object's URL: the key is `user/file id/name`, each percent-encoded, and encoded once more in a URL."""
    parts = (quote(subject, safe=""), str(file_id), key)
    return f"{cloud.url}/{cloud.bucket}/{quote('/'.join(parts))}"


def mine(cloud: Cloud, subject: str) -> dict[str, bytes]:
    """Give what the bucket has of a user, by the rest of the key."""
    prefix = f"{quote(subject, safe='')}/"
    return {key.removeprefix(prefix): found for key, found in cloud.objects().items() if key.startswith(prefix)}


def test_the_answer_says_where_the_object_is(
    client: httpx2.Client, cloud: Cloud, subject: str, main_service: Receiver
) -> None:
    """The file lies under its key; answer and list give the object's URL; the main service is told, once."""
    wish = sent(client, b"half ", b"and half")

    answers = [client.post("/upload/complete", json=wish) for _ in range(2)]

    assert [200, 200] == [answer.status_code for answer in answers]
    data = answers[0].json()["data"]
    assert data == answers[1].json()["data"]
    assert place(cloud, subject) == data["file_path_on_upload_service"] == data["file_download_url"]
    assert [place(cloud, subject)] == client.get("/upload/files").json()["files"]
    assert {f"7/{KEY}": b"half and half"} == mine(cloud, subject)
    assert b"half and half" == client.get("/upload/download/7").content
    (told,) = main_service.wait("file.stored", owner=f"jwt:{subject}")
    assert (data["file_id"], 7, place(cloud, subject)) == (
        told["file_id"],
        told["main_service_file_id"],
        told["url"],
    )


def test_a_second_upload_replaces_the_first(
    client: httpx2.Client, cloud: Cloud, subject: str, main_service: Receiver
) -> None:
    """The same file id once more has the same key: in the end the bucket has the new bytes there, and no others."""
    for content in (b"first", b"second", b"third"):
        assert 200 == client.post("/upload/complete", json=sent(client, content)).status_code
        assert content == client.get("/upload/download/7").content
    assert 200 == client.post("/upload/complete", json=sent(client, b"named", name="b.mp3")).status_code

    main_service.wait("file.stored", 4, owner=f"jwt:{subject}")
    settle(client, cloud, subject, {"7/b.mp3": b"named"})
    assert [place(cloud, subject, key="b.mp3")] == client.get("/upload/files").json()["files"]


def settle(client: httpx2.Client, cloud: Cloud, subject: str, objects: dict[str, bytes]) -> None:
    """Wait until the bucket has just this of a user."""
    for _ in range(200):
        if mine(cloud, subject) == objects:
            return
        client.get("/v1/files")  # takes its time, and asks what is asked anyway
    assert objects == mine(cloud, subject)


def test_deleting_takes_the_object(client: httpx2.Client, cloud: Cloud, subject: str) -> None:
    """Nothing is left in the bucket."""
    client.post("/upload/complete", json=sent(client, b"content"))

    assert 200 == client.request("DELETE", "/upload/file", json={"file_id": 7}).status_code

    settle(client, cloud, subject, {})
    assert [] == client.get("/upload/files").json()["files"]


def test_a_bucket_that_is_down(client: httpx2.Client, cloud: Cloud, subject: str, main_service: Receiver) -> None:
    """502 with a code; the file is kept; completing once more tries at once. The webhook leaves when it is there."""
    wish = sent(client, b"content")
    with cloud.away():
        answer = client.post("/upload/complete", json=wish)

        assert (502, "store_unreachable") == (answer.status_code, answer.json()["code"])
        copy = copy_in(client, answer.json()["file_id"])
        assert ("failed", "store_unreachable") == (copy["state"], copy["code"])
        assert b"content" == client.get("/upload/download/7").content
        assert [] == main_service.wait("file.stored", 0, owner=f"jwt:{subject}")

    again = client.post("/upload/complete", json=wish)
    assert (200, place(cloud, subject)) == (again.status_code, again.json()["data"]["file_path_on_upload_service"])
    assert 1 == len(main_service.wait("file.stored", 1, owner=f"jwt:{subject}"))


def test_a_bucket_that_is_slow(
    make_server: Callable[..., Any], cloud: Cloud, subject: str, main_service: Receiver
) -> None:
    """202 past the bound, and where to ask; the file can be fetched here until it is there."""
    hooked = {"MAIN_SERVICE_WEBHOOK_URL": main_service.url, "CARRYALL_WEBHOOK_SECRET": SECRET}
    server = make_server(**cloud.settings(STORAGE_BACKEND="s3", CARRYALL_RELAY_WAIT="0.2", **hooked))
    with server.client(headers=server.bearer(server.jwt(subject))) as client:
        wish = sent(client, b"content")
        with cloud.standing_still():
            answer = client.post("/upload/complete", json=wish)

            told = answer.json()
            assert (202, "success", told["status_url"]) == (
                answer.status_code,
                told["status"],
                answer.headers["location"],
            )
            here = f"{server.url}/upload/download/7"
            assert [here] == client.get("/upload/files").json()["files"]
            assert b"content" == client.get(here).content
            assert [] == main_service.wait("file.stored", 0, owner=f"jwt:{subject}")

        assert client.get(told["status_url"]).json()["id"] == told["data"]["file_id"]
        delivered(client, told["data"]["file_id"])
        main_service.wait("file.stored", 1, owner=f"jwt:{subject}")
        assert [place(cloud, subject)] == client.get("/upload/files").json()["files"]
        assert 200 == client.post("/upload/complete", json=wish).status_code
