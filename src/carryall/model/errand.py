"""A request that its client may repeat: by which key, what it made, and what it was answered."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Errand:
    """What is remembered of a request with an `Idempotency-Key`.

    Attributes:
        id: the attempt that works on it; whoever takes over from one that died has another.
        owner: whose key it is; two owners' keys never meet.
        key: the client's name for the request.
        fingerprint: what tells this request from others.
        uploads: the uploads that it opened, in order.
        answer: what was told at its end, in the face's own words; None before.
        expires_at: when it is forgotten.
    """

    id: str
    owner: str
    key: str
    fingerprint: str
    created_at: datetime
    expires_at: datetime
    uploads: tuple[str, ...] = ()
    answer: str | None = None
