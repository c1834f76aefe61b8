"""What the main service is told of deliveries: when a file is where it was promised to be, and how each try went."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.servers.receiver import Receiver, receiving
from tests.servers.s3 import S3Server

SECRET = "a secret between two services"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The main service's end."""
    with receiving() as made:
        yield made


def s3_settings(endpoint: str, **more: str) -> dict[str, str]:
    """Give the settings of a store "s3" at an address."""
    options = {"KIND": "s3", "BUCKET": "files", "ENDPOINT_URL": endpoint, "REGION": "us-east-1", "ADDRESSING": "path"}
    options |= {"ACCESS_KEY": "test:tester", "SECRET_KEY": "testing", **more}
    return {f"CARRYALL_STORE_S3_{name}": value for name, value in options.items()}


@pytest.fixture
def make_told(make_server: Callable[..., Any], receiver: Receiver) -> Callable[..., Any]:
    """Make a server that tells the receiver."""

    def make(**settings: str) -> Any:
        return make_server(CARRYALL_WEBHOOK_URL=receiver.url, CARRYALL_WEBHOOK_SECRET=SECRET, **settings)

    return make


def upload(server: Any, headers: dict[str, str], target: str, **params: str) -> dict[str, Any]:
    """Upload a file."""
    answer = httpx2.post(
        f"{server.url}/v1/files",
        params={"name": "a.txt", "service": target, **params},
        content=b"hello",
        headers=headers,
        timeout=30,
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_file_is_told_when_it_is_where_it_was_promised(
    make_told: Callable[..., Any], receiver: Receiver, tmp_path: Path
) -> None:
    """`file.stored` waits for the promised store, says its address, and comes once; each try is told by itself."""
    away = S3Server(tmp_path / "s3")
    away.kill()
    server = make_told(**s3_settings(away.url))
    file = upload(server, server.bearer(server.jwt("alice")), "s3", main_service_file_id="7")
    failed = receiver.wait("copy.failed")[0]
    early = receiver.of("file.stored")
    away.start()
    retried = httpx2.post(
        f"{server.url}/v1/files/{file['id']}/copies/s3/retry", headers=server.bearer(server.jwt("alice")), timeout=30
    )
    stored, copy = receiver.wait("file.stored")[0], receiver.wait("copy.stored")[0]
    server.stop()
    away.kill()

    assert 202 == retried.status_code
    assert [] == early
    about = {"file_id": file["id"], "main_service_file_id": 7, "owner": "jwt:alice", "name": "a.txt", "size": 5}
    assert {*about, "store", "attempts", "error", "code", "next_try_at", "url"} == failed.keys()
    assert {**about, "store": "s3", "code": "store_unreachable"}.items() <= failed.items()
    assert f"{server.url}/upload/download/7" == failed["url"]
    assert {*about, "store", "attempts", "link", "is_delivered", "url"} == copy.keys()
    assert {**about, "store": "s3", "link": None, "is_delivered": True}.items() <= copy.items()
    assert copy["url"].startswith(f"{away.url}/files/")
    assert copy["url"] == stored["url"]
    assert 1 == len(receiver.of("file.stored")) == len(receiver.of("copy.stored"))
    assert all(one.is_genuine(SECRET, time.time()) for one in receiver.told)


def test_only_what_was_chosen_is_told(make_told: Callable[..., Any], receiver: Receiver, tmp_path: Path) -> None:
    """CARRYALL_WEBHOOK_EVENTS says which events are sent; users of this server stay their own business."""
    folder = {"CARRYALL_STORE_B_KIND": "local", "CARRYALL_STORE_B_ROOT": str(tmp_path / "b")}
    server = make_told(CARRYALL_WEBHOOK_EVENTS="file.deleted,copy.stored", **folder)
    _, bob = server.new_user()
    alice = server.bearer(server.jwt("alice"))
    for headers in (bob, alice):
        file = upload(server, headers, "local,b")
        deadline = time.monotonic() + 20
        while not httpx2.get(f"{server.url}/v1/files/{file['id']}", headers=headers).json()["is_delivered"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        httpx2.delete(f"{server.url}/v1/files/{file['id']}", headers=headers)
    receiver.wait("file.deleted")
    server.stop()

    assert ["copy.stored", "file.deleted"] == [one.event["type"] for one in receiver.told]
    assert {"jwt:alice"} == {one.event["data"]["owner"] for one in receiver.told}


def test_unknown_events_stop_the_start(make_told: Callable[..., Any]) -> None:
    """A name that is no event is refused with those that there are."""
    with pytest.raises(AssertionError, match=r"file\.stored, file\.deleted"):
        make_told(CARRYALL_WEBHOOK_EVENTS="file.stord")
