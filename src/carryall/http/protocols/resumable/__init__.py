"""Resumable uploads for HTTP, the IETF draft: `routes` has the verbs, `fields` the headers, `dialects` the drafts."""

from carryall.http.protocols.resumable.fields import is_marked
from carryall.http.protocols.resumable.routes import (
    DOOR,
    Ended,
    begin,
    begins,
    limits,
    or_began,
    resource,
    target,
)

__all__ = [
    "DOOR",
    "Ended",
    "begin",
    "begins",
    "is_marked",
    "limits",
    "or_began",
    "resource",
    "target",
]
