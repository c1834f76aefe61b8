"""Chunks: a file in numbered pieces, by users whom another service signs in, and that service is told of it.

`routes` has the routes, `form` takes one chunk, `bodies` are the JSON bodies.
"""

from carryall.http.surfaces.chunks.routes import byte_routes, router

__all__ = ["byte_routes", "router"]
