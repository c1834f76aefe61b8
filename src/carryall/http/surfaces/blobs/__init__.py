"""Blobs: users with tokens and room of their own, short links, counters and expiry."""

from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute
from carryall.http.surfaces.blobs.accounts import router
from carryall.http.surfaces.blobs.short_links import SHORT_LINK
from carryall.http.surfaces.blobs.uploads import DOOR, UPLOAD_BATCH, UPLOAD_DOCS, ended, upload

__all__ = ["DOOR", "UPLOAD_DOCS", "byte_routes", "ended", "router", "upload"]


def byte_routes(_context: Context) -> list[ByteRoute]:
    """Give blobs' own byte routes; POST /upload is shared with relay (http/routes.py)."""
    return [UPLOAD_BATCH, SHORT_LINK]
