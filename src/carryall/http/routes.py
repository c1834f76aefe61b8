"""The open list of every route: which surfaces there are, and the one path that two of them share."""

from fastapi import APIRouter
from starlette.responses import Response

from carryall.http.api import by_name, deliveries, events, files, health, links, pages, plans, tokens, users
from carryall.http.call import Call
from carryall.http.context import Context
from carryall.http.dispatch import ByteRoute
from carryall.http.protocols import resumable, tus
from carryall.http.spoken import shared
from carryall.http.surfaces import blobs, chunks, gallery, relay
from carryall.http.who import is_service_call


def routers(context: Context) -> list[APIRouter]:
    """Give the JSON routes."""
    rooms = (health, pages, relay, blobs, gallery, chunks, files, deliveries, links, users, plans, tokens)
    return [room.router(context) for room in rooms]


def byte_routes(context: Context) -> list[ByteRoute]:
    """Give the routes that carry bytes."""
    rooms = (relay, blobs, gallery, chunks, files, by_name, links, events)
    upload = ByteRoute(
        methods=("POST",),
        path="/upload",
        handler=resumable.target(_upload),
        docs={"post": {**blobs.UPLOAD_DOCS, **relay.UPLOAD_DOCS}},
    )
    limits = ByteRoute(("OPTIONS",), "/upload", resumable.limits)
    resource = resumable.resource({relay.DOOR: relay.ended, blobs.DOOR: blobs.ended})
    resumed = shared(tus.byte_routes(context), files.creator(), resource)
    return [upload, limits, *resumed, *(route for room in rooms for route in room.byte_routes(context))]


async def _upload(call: Call) -> Response:
    """Tell relay's upload from blobs' by its header; who shows nothing hears relay's 401 (decision 1)."""
    if is_service_call(call.headers) or "authorization" not in call.headers:
        return await relay.upload(call)
    return await blobs.upload(call)
