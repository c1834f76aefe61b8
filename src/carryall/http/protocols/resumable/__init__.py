"""Resumable uploads for HTTP, the IETF draft: `routes` has the verbs, `fields` the headers, `dialects` the drafts."""

from carryall.http.protocols.resumable.fields import is_marked
from carryall.http.protocols.resumable.routes import (
    DOOR,
    Ended,
    began,
    begin,
    begins,
    is_under_way,
    limits,
    resource,
    target,
)

__all__ = [
    "DOOR",
    "Ended",
    "began",
    "begin",
    "begins",
    "is_marked",
    "is_under_way",
    "limits",
    "resource",
    "target",
]
