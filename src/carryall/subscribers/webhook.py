"""Tell another service by a signed HTTP request that something happened."""

import hashlib
import hmac
import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from carryall.model.errors import Malformed, Refused, StoreError, Unavailable
from carryall.model.work import Event
from carryall.ports.clock import Clock
from carryall.ports.sender import Outbound

SIGNATURE_HEADER = "Carryall-Signature"
GONE = 410


class Webhook:
    """Posts events to one URL.

    The body is JSON, for example:

        {"id": 7, "type": "file.stored", "created_at": "2026-11-20T12:00:00+00:00",
         "data": {"file_id": "kV3…", "owner": "jwt:alice", "main_service_file_id": 123, "name": "a.mp3",
                  "size": 5120, "sha256": "9f86…", "url": "https://files.example/upload/download/123"}}

    `file_id` and `owner` come from the event itself, the rest is its data as it is. The headers are
    `Carryall-Signature: t=<unix seconds>,v1=<hexadecimal>` (see `sign`), `Carryall-Event` (the type) and
    `Carryall-Delivery` (the event's id, the same in every try: receivers drop what they have had).
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        outbound: Outbound,
        clock: Clock,
        types: Collection[str] = ("file.stored",),
    ) -> None:
        """Take where to and what about.

        Args:
            url: who is told. http only where the operator trusts the way.
            secret: shared with the receiver; signs every body.
            types: the events that are passed on; all others are taken and dropped.

        Raises:
            Malformed: the secret is empty.
        """
        if not secret:
            raise Malformed("A webhook needs a secret to sign with; it is empty.")
        self._url = url
        self._secret = secret
        self._outbound = outbound
        self._clock = clock
        self._types = frozenset(types)

    async def tell(self, event: Event) -> None:
        """Post the event. Any 2xx means taken.

        Raises:
            StoreError: `webhook_failed`. Every other answer, and none, may be tried again, since receivers answer
                with all sorts of statuses while they are being deployed. Not so 410, by which a receiver says
                "never again", and an address that may not be asked.
        """
        if event.type not in self._types:
            return
        body = event_body(event)
        headers = {
            "Content-Type": "application/json",
            "Carryall-Event": event.type,
            "Carryall-Delivery": str(event.id),
            SIGNATURE_HEADER: sign(body, self._secret, now=self._clock.now()),
        }
        try:
            status = await self._outbound.post(self._url, body, headers=headers)
        except (Refused, Unavailable) as error:
            raise StoreError(
                f"The webhook was not delivered: {error.message}", retryable=error.retryable, code="webhook_failed"
            ) from error
        if not 200 <= status < 300:
            raise StoreError(
                f"The webhook's receiver answered {status}; it has to answer 2xx.",
                retryable=status != GONE,
                code="webhook_failed",
                status=status,
            )


def event_body(event: Event) -> bytes:
    """Give the JSON that is posted, as ASCII."""
    data: dict[str, Any] = {"file_id": event.subject, "owner": event.owner, **event.data}
    told = {"id": event.id, "type": event.type, "created_at": event.created_at.isoformat(), "data": data}
    return json.dumps(told, separators=(",", ":")).encode("ascii")


def sign(body: bytes, secret: str, *, now: datetime) -> str:
    """Give the signature header: "t=<unix seconds>,v1=<hex of HMAC-SHA256 over `<t>.` and the body>"."""
    at = int(now.timestamp())
    return f"t={at},v1={_mark(body, secret, at)}"


def verify_signature(header: str, body: bytes, *, secret: str, now: datetime, tolerance_s: int = 300) -> bool:
    """Tell whether a received body is genuine and fresh: what a receiver has to do, before it reads the JSON.

    Args:
        header: the value of `Carryall-Signature`.
        body: the bytes exactly as they came.
        tolerance_s: how old, or how far ahead, the time in the header may be, in seconds. It bounds replays.
    """
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    at, given = parts.get("t", ""), parts.get("v1", "")
    if not (at.isascii() and at.isdecimal() and len(at) <= 12 and given.isascii()):
        return False
    is_fresh = abs(now.timestamp() - int(at)) <= tolerance_s
    return hmac.compare_digest(given, _mark(body, secret, int(at))) and is_fresh


def _mark(body: bytes, secret: str, at: int) -> str:
    return hmac.new(secret.encode("utf-8"), f"{at}.".encode("ascii") + body, hashlib.sha256).hexdigest()
