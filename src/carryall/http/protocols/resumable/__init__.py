"""Resumable uploads for HTTP, the IETF draft: `routes` has the verbs, `fields` the headers, `dialects` the drafts."""

from carryall.http.protocols.resumable.fields import is_marked
from carryall.http.protocols.resumable.routes import begin, begins, limits, resource, target

__all__ = ["begin", "begins", "is_marked", "limits", "resource", "target"]
