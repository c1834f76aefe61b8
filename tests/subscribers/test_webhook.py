"""A webhook is signed, says the same in every try, and is tried again wherever that can help."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from carryall.model.errors import Malformed, StoreError
from carryall.model.work import Event
from carryall.ports.subscriber import Subscriber
from carryall.subscribers.outbound import GuardedHttp
from carryall.subscribers.webhook import Webhook, sign, verify_signature

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENT = Event(
    type="file.stored",
    subject="kV3f",
    owner="jwt:alice",
    created_at=NOW - timedelta(minutes=1),
    data={
        "main_service_file_id": 123,
        "name": "Grüße \ud800.mp3",
        "size": 5120,
        "sha256": "9f" * 32,
        "url": "https://files.example/upload/download/123",
    },
    id=7,
)


@pytest.fixture
async def http(receiver: Any) -> AsyncIterator[GuardedHttp]:
    client = GuardedHttp(trusted=[f"127.0.0.1:{receiver.port}"], timeout=timedelta(seconds=5))
    yield client
    await client.close()


@pytest.fixture
def webhook(http: GuardedHttp, receiver: Any, clock: Any) -> Webhook:
    return Webhook(receiver.url + "/hook", "s3cret", outbound=http, clock=clock)


async def test_event_arrives_as_described(webhook: Webhook, receiver: Any) -> None:
    """The body says what was stored, with every field that was promised."""
    await webhook.tell(EVENT)
    request, body = receiver.requests[0]
    assert request.method == "POST"
    assert request.path == "/hook"
    assert json.loads(body) == {
        "id": 7,
        "type": "file.stored",
        "created_at": "2026-11-20T11:59:00+00:00",
        "data": {"file_id": "kV3f", "owner": "jwt:alice", **EVENT.data},
    }


async def test_headers_say_what_and_which(webhook: Webhook, receiver: Any) -> None:
    """Receivers can tell the type and a repeated delivery without reading the body."""
    await webhook.tell(EVENT)
    await webhook.tell(EVENT)
    sent = [
        [request.headers[name] for name in ("Content-Type", "Carryall-Event", "Carryall-Delivery")]
        for request, _ in receiver.requests
    ]
    assert sent == [["application/json", "file.stored", "7"]] * 2
    assert receiver.requests[0][1] == receiver.requests[1][1]


async def test_signature_can_be_checked_by_hand(webhook: Webhook, receiver: Any) -> None:
    """The signature is what the documentation says: HMAC-SHA256 over the time, a dot, and the body."""
    await webhook.tell(EVENT)
    request, body = receiver.requests[0]
    stamp = int(NOW.timestamp())
    mark = hmac.new(b"s3cret", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert request.headers["Carryall-Signature"] == f"t={stamp},v1={mark}"
    assert verify_signature(request.headers["Carryall-Signature"], body, secret="s3cret", now=NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_means_taken(webhook: Webhook, receiver: Any, status: int) -> None:
    """Receivers may say yes in their own way."""
    receiver.answers = [web.Response(status=status)]
    await webhook.tell(EVENT)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 408, 410, 429, 500, 503])
async def test_other_answers_are_tried_again(webhook: Webhook, receiver: Any, status: int) -> None:
    """Every other answer fails, and only 410 says never again."""
    receiver.answers = [web.Response(status=status)]
    with pytest.raises(StoreError) as caught:
        await webhook.tell(EVENT)
    assert (caught.value.stable_code, caught.value.retryable) == ("webhook_failed", status != 410)
    assert caught.value.facts == {"status": status}
    assert len(receiver.requests) == 1


async def test_nobody_there_is_tried_again(receiver: Any, clock: Any) -> None:
    """No answer at all may be better later; the text hides the path."""
    receiver.may_answer.clear()
    quick = GuardedHttp(trusted=[f"127.0.0.1:{receiver.port}"], timeout=timedelta(milliseconds=50))
    with pytest.raises(StoreError) as caught:
        await Webhook(receiver.url + "/t0ken", "s3cret", outbound=quick, clock=clock).tell(EVENT)
    await quick.close()
    assert caught.value.retryable
    assert "t0ken" not in caught.value.message


async def test_inner_addresses_are_not_told(http: GuardedHttp, listener: Any, clock: Any) -> None:
    """A webhook that points inside, and isn't the operator's, is refused for good, and nobody connects."""
    with pytest.raises(StoreError) as caught:
        await Webhook(f"http://127.0.0.1:{listener.port}/", "s3cret", outbound=http, clock=clock).tell(EVENT)
    assert not caught.value.retryable
    assert listener.connections == 0


async def test_other_events_are_taken_in_silence(http: GuardedHttp, receiver: Any, clock: Any) -> None:
    """Only the types that were asked for are posted."""
    deleted = Event(type="file.deleted", subject="kV3f", owner="jwt:alice", created_at=NOW, id=8)
    await Webhook(receiver.url, "s3cret", outbound=http, clock=clock).tell(deleted)
    assert receiver.requests == []
    await Webhook(receiver.url, "s3cret", outbound=http, clock=clock, types={"file.deleted"}).tell(deleted)
    assert len(receiver.requests) == 1


def test_signatures_are_checked_strictly() -> None:
    """Another body, secret, time or text is refused; so is what is too old or too far ahead."""
    header = sign(b"{}", "s3cret", now=NOW)
    stamp, mark = header.removeprefix("t=").split(",v1=")
    assert verify_signature(header, b"{}", secret="s3cret", now=NOW + timedelta(seconds=300))
    assert verify_signature(f"v1={mark}, t={stamp}", b"{}", secret="s3cret", now=NOW)
    assert not verify_signature(header, b"{} ", secret="s3cret", now=NOW)
    assert not verify_signature(header, b"{}", secret="other", now=NOW)
    assert not verify_signature(header, b"{}", secret="s3cret", now=NOW + timedelta(seconds=301))
    assert not verify_signature(header, b"{}", secret="s3cret", now=NOW - timedelta(seconds=301))
    arabic = stamp.replace("1", "\u0661")
    assert not verify_signature(f"t={arabic},v1={mark}", b"{}", secret="s3cret", now=NOW)
    assert not verify_signature(f"t={int(stamp) + 1},v1={mark}", b"{}", secret="s3cret", now=NOW)


@pytest.mark.parametrize(
    "header",
    ["", ",", "t=,v1=", "t=1", "v1=a", "t=x,v1=a", "t=-1,v1=a", "t=²,v1=a", "t=1,v1=é", "t=" + "9" * 5000 + ",v1=a"],
)
def test_broken_signatures_are_just_wrong(header: str) -> None:
    """Whatever a receiver is sent as a signature is a wrong one, never an error."""
    assert not verify_signature(header, b"{}", secret="s3cret", now=NOW)


def test_a_secret_is_needed(http: GuardedHttp, clock: Any) -> None:
    """Unsigned webhooks aren't sent."""
    with pytest.raises(Malformed, match="secret"):
        Webhook("https://example.org/", "", outbound=http, clock=clock)


def test_the_class_is_a_subscriber(webhook: Webhook) -> None:
    """The plug fits its port."""
    plug: Subscriber = webhook
    assert plug is webhook
