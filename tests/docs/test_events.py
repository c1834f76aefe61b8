"""What docs/events.md shows to those who receive a webhook is what they get."""

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carryall.config.values import TOLD_EVENTS
from carryall.http.api.account_shapes import PLAN, PlanShape
from carryall.http.api.events import told
from carryall.http.api.shapes import DELIVERY, EVENT, DeliveryShape, FileShape
from carryall.http.api.shapes import FILE as FILE_EXAMPLE
from carryall.model.file import Copy, CopyState, File
from carryall.model.work import Event
from carryall.operations.announce import copy_data, file_data
from carryall.operations.completion import event_data
from carryall.subscribers.webhook import SIGNATURE_HEADER, event_body, sign, verify_signature

SECRET = "s3cret-of-both"
NOW = datetime.fromtimestamp(int(time.time()), UTC)
FILE = File(
    id="kV3f",
    short_id="s",
    owner="jwt:alice",
    door="chunks",
    name="audio.mp3",
    size=5,
    sha256="9f" * 32,
    media_type="audio/mpeg",
    created_at=NOW,
    external_id="123",
)


@pytest.fixture(scope="module")
def is_genuine(fenced: Callable[[str, str], list[str]]) -> Callable[..., bool]:
    """Give the page's function, as a reader would copy it."""
    (text,) = fenced("docs/events.md", "python")
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102  # this is what it is there for
    function: Callable[..., bool] = names["is_genuine"]
    return function


@pytest.mark.parametrize(
    ("body", "secret", "age_s"),
    [
        pytest.param(b"{}", SECRET, 0, id="genuine"),
        pytest.param(b"{} ", SECRET, 0, id="other body"),
        pytest.param(b"{}", "another secret", 0, id="other secret"),
        pytest.param(b"{}", SECRET, 400, id="too old"),
        pytest.param(b"{}", SECRET, -400, id="too far ahead"),
    ],
)
def test_the_page_verifies_as_we_do(is_genuine: Callable[..., bool], body: bytes, secret: str, age_s: int) -> None:
    """The page's function and ours agree on genuine, changed and late requests."""
    now = datetime.fromtimestamp(time.time(), UTC)  # not the time of import: the page asks the machine, too
    header = sign(b"{}", SECRET, now=now - timedelta(seconds=age_s))
    expected = verify_signature(header, body, secret=secret, now=now)

    assert expected == is_genuine(header, body, secret)
    assert expected == ((body, secret, age_s) == (b"{}", SECRET, 0))


@pytest.mark.parametrize("header", ["", "t=1", "t=x,v1=a", "v1=é,t=1", "t=" + "9" * 5000 + ",v1=a", "t=²,v1=a"])
def test_the_page_is_not_upset(is_genuine: Callable[..., bool], header: str) -> None:
    """Whatever a stranger sends as a signature is a wrong one."""
    assert not is_genuine(header, b"{}", SECRET)


def test_the_request_looks_as_shown(fenced: Callable[[str, str], list[str]]) -> None:
    """The page's request has the headers and the keys of a real one, in their order."""
    head, _, shown = fenced("docs/events.md", "http")[0].partition("\n\n")
    event = Event("file.stored", FILE.id, FILE.owner, NOW, {**event_data(FILE), "url": "https://files.example/"}, id=7)
    told, example = json.loads(event_body(event)), json.loads(shown.replace("\n", ""))

    assert list(told) == list(example)
    assert set(told["data"]) == set(example["data"])
    assert {type(value) for value in told["data"].values()} == {type(value) for value in example["data"].values()}
    assert f"{SIGNATURE_HEADER}: t=" in head


COPY = copy_data(FILE, Copy("s3", "key", CopyState.STORED))
DATA = {
    "file.stored": {*event_data(FILE)},
    "file.deleted": {*file_data(FILE), "why"},
    "copy.stored": {*COPY, "link", "is_delivered"},
    "copy.failed": {*COPY, "error", "code", "next_try_at"},
    "copy.damaged": {*COPY, "why", "was_delivered"},
}
ROW = re.compile(r"^\| `([a-z]+\.[a-z]+)` \| [^|]+ \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def test_every_field_is_listed(documents: dict[str, str]) -> None:
    """The table has each type that can be told, with the fields of its data and no others."""
    rows = dict(ROW.findall(documents["docs/events.md"]))
    plain = {kind: re.sub(r"\([^)]*\)|`: .*", "`", row) for kind, row in rows.items()}  # neither remarks nor values
    fields = {kind: set(re.findall(r"(?:^|, )`([a-z_0-9]+)`", plain[kind])) for kind in DATA}

    assert set(TOLD_EVENTS) <= rows.keys()
    assert fields == DATA


def test_the_stream_looks_as_shown(fenced: Callable[[str, str], list[str]]) -> None:
    """The page's event is one of a real stream: its lines, and JSON with the keys of a real event in their order."""
    (text,) = fenced("docs/events.md", "console")
    beginning, shown = text.partition("retry: ")[2].split("\n\n")
    lines = [line.partition(": ") for line in shown.strip().split("\n")]
    example = json.loads(lines[2][2])
    event = Event(example["type"], example["subject"], example["owner"], NOW, example["data"], id=example["id"])

    assert re.fullmatch(r"\d+\nid: \d+", beginning)
    assert [("id", "42"), ("event", "copy.stored")] == [(name, value) for name, _, value in lines[:2]]
    assert list(told(event)) == list(example)
    assert set(example["data"]) == DATA["copy.stored"]
    assert example == EVENT


@pytest.mark.parametrize(
    ("shape", "example"), [(FileShape, FILE_EXAMPLE), (DeliveryShape, DELIVERY), (PlanShape, PLAN)]
)
def test_examples_are_possible(shape: Any, example: dict[str, Any]) -> None:
    """What OpenAPI shows is what the shape takes, field for field."""
    assert example.keys() == shape.model_validate(example).model_dump().keys()
