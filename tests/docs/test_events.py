"""What docs/events.md shows to those who receive a webhook is what they get."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carryall.model.file import File
from carryall.model.work import Event
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
