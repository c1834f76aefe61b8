"""The main service is really told of what was stored: signed, tried again, and again when it is asked for (H3)."""

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.servers.receiver import Receiver, receiving

from carryall import wiring
from carryall.config import ensure_secrets, load_settings
from carryall.model.principal import Kind, Plan, Principal
from carryall.model.upload import Declared, Mode

SECRET = "a secret between two services"
ALICE = Principal("jwt:alice", "alice", Kind.JWT, Plan("jwt"))
BACK_OFF = timedelta(seconds=26)  # beyond the second wait: 20 s, and up to a quarter more


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The main service's end."""
    with receiving() as made:
        yield made


def test_completing_notifies_the_main_service(make_server: Callable[..., Any], receiver: Receiver) -> None:
    """Completing a session sends one signed notification; its URL is where the file can be fetched."""
    server = make_server(MAIN_SERVICE_WEBHOOK_URL=receiver.url, CARRYALL_WEBHOOK_SECRET=SECRET)
    with server.client(headers=server.bearer(server.jwt("alice"))) as alice:
        begin = {"main_service_file_id": 123, "original_file_name": "naïve.mp3"}
        session = alice.post("/upload/init", json=begin).json()["data"]["upload_session_id"]
        fields = {"upload_session_id": session, "chunk_index": "0"}
        alice.post("/upload/chunk", data=fields, files={"chunk": b"sound"})
        wish = {"upload_session_id": session, "total_chunks": 1, "main_service_file_id": 123}
        done, again = (alice.post("/upload/complete", json=wish).json()["data"] for _ in range(2))
        deadline = time.monotonic() + 10
        while not receiver.told and time.monotonic() < deadline:
            time.sleep(0.01)
        telling, told = receiver.told[0], receiver.told[0].event
        assert alice.get(told["data"]["url"]).content == b"sound"
    assert ("/hooks/files", "application/json", "file.stored") == (
        telling.path,
        telling.headers["content-type"],
        telling.headers["carryall-event"],
    )
    assert done == again
    assert telling.is_genuine(SECRET, time.time())
    assert str(told["id"]) == telling.headers["carryall-delivery"]
    assert {
        "file_id": done["file_id"],
        "main_service_file_id": 123,
        "owner": "jwt:alice",
        "name": "naïve.mp3",
        "size": 5,
        "sha256": hashlib.sha256(b"sound").hexdigest(),
        "url": f"{server.url}/upload/download/123",
        "media_type": told["data"]["media_type"],
        "door": "chunks",
    } == told["data"]
    server.stop()
    assert 1 == len(receiver.told)


# --- the same house without HTTP in front, and with a clock that the test moves ------------------------------------


class MovedClock:
    """A Clock that moves when the test says so."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Bytes:
    """A Body of one chunk."""

    declared_size = 5

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"sound"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    moved = MovedClock()
    monkeypatch.setattr(wiring.plugs, "SystemClock", lambda: moved)
    return moved


@pytest.fixture
async def house(tmp_path: Path, receiver: Receiver, clock: MovedClock) -> AsyncIterator[wiring.House]:
    del clock  # it has to stand before the house is built
    settings = load_settings(
        {
            "CARRYALL_DATA_DIR": str(tmp_path / "data"),
            "MAIN_SERVICE_WEBHOOK_URL": receiver.url,
            "CARRYALL_WEBHOOK_SECRET": SECRET,
            "BASE_URL": "https://files.example.org/",
        },
        env_file=None,
    )
    settings, _ = ensure_secrets(settings, settings.data_dir / "secrets")
    async with wiring.build(settings).open() as opened:
        yield opened


async def store(house: wiring.House, external_id: str = "0") -> str:
    """Complete one session; give the file's id."""
    door = house.context.door
    declared = Declared(name="a.mp3", door="chunks", external_id=external_id)
    upload = await door.open(ALICE, declared, is_resumable=True)
    await door.receive(ALICE, upload.id, Bytes(), mode=Mode.REPLACE)
    return (await door.complete(ALICE, upload.id, segment_count=1)).id


async def test_a_failed_notification_is_tried_again(house: wiring.House, receiver: Receiver, clock: MovedClock) -> None:
    """An answer that isn't 2xx is no delivery: the same event comes again later, signed anew, until it is taken."""
    receiver.statuses = [500, 302]
    await store(house)
    seen = []
    for _ in range(4):
        await house.run_due()
        seen.append(len(receiver.told))
        await house.run_due()  # nothing is due before its time
        assert seen[-1] == len(receiver.told)
        clock.time += BACK_OFF
    assert [1, 2, 3, 3] == seen
    assert 1 == len({one.body for one in receiver.told})
    assert 1 == len({one.headers["carryall-delivery"] for one in receiver.told})
    began = clock.time - BACK_OFF * 4
    for tried, telling in enumerate(receiver.told):
        assert telling.is_genuine(SECRET, (began + BACK_OFF * tried).timestamp())
    forged = replace(receiver.told[0], body=receiver.told[0].body + b" ")
    assert not forged.is_genuine(SECRET, began.timestamp())


async def test_a_notification_outlives_the_server(house: wiring.House, receiver: Receiver) -> None:
    """The job was written with the file: whoever runs jobs later, another process too, delivers it."""
    await store(house)
    settings = house.settings
    async with wiring.build(settings).open() as another:
        await another.run_due()
    assert 1 == len(receiver.told)


async def test_a_notification_can_be_repeated(house: wiring.House, receiver: Receiver) -> None:
    """`carryall webhooks replay` sends the same event again, with the same id."""
    await store(house)
    await house.run_due()
    await house.announce.replay(receiver.told[0].event["id"])
    await house.run_due()
    assert 2 == len(receiver.told)
    assert receiver.told[0].body == receiver.told[1].body


@pytest.mark.parametrize(("given", "told"), [("0", 0), ("9223372036854775807", 2**63 - 1)])
async def test_ids_and_urls_are_the_main_services(
    house: wiring.House, receiver: Receiver, given: str, told: int
) -> None:
    """The id is the number that the main service gave, and the URL begins with BASE_URL."""
    await store(house, given)
    await house.run_due()
    data = receiver.told[0].event["data"]
    expected = {"main_service_file_id": told, "url": f"https://files.example.org/upload/download/{given}"}
    assert expected == {name: data[name] for name in expected}
