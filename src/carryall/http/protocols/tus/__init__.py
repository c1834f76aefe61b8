"""tus 1.0.0, the resumable uploads that most clients speak: `routes` has the verbs, `fields` reads the headers."""

from carryall.http.protocols.tus.routes import byte_routes

__all__ = ["byte_routes"]
