"""Which protocol a request speaks at an upload's address: tus and the IETF draft have the same ones."""

from collections.abc import Iterable
from dataclasses import replace

from starlette.responses import Response

from carryall.http.call import Call
from carryall.http.dispatch import ByteRoute, Handler
from carryall.http.protocols import resumable
from carryall.http.spoken_docs import COLLECTION_DOCS, ITEM_DOCS

# Clients of the finished RFC will send these without a mark; a tus client always has one.
_UNMARKED = frozenset({"HEAD", "DELETE"})
_VERBS = frozenset({"HEAD", "PATCH", "DELETE"})
_DOCS = {"/v1/uploads": COLLECTION_DOCS, "/v1/uploads/{upload_id}": ITEM_DOCS}


def shared(tus_routes: Iterable[ByteRoute], create: Handler, resource: Handler) -> list[ByteRoute]:
    """Let the draft in at tus' addresses: `create` is what it does at those that begin uploads, `resource` at theirs.

    `Tus-Resumable` always means tus, whatever else is said. GET tells both the same.
    """
    return [
        replace(route, handler=_either(route, create, resource), docs=_DOCS.get(route.path, {})) for route in tus_routes
    ]


def _either(route: ByteRoute, create: Handler, resource: Handler) -> Handler:
    is_upload = route.path.endswith("{upload_id}")

    async def either(call: Call) -> Response:
        if call.method == "OPTIONS":
            response = await route.handler(call)
            response.headers.update((await resumable.limits(call)).headers)
            return response
        if is_upload and call.method in _VERBS and (resumable.is_marked(call.headers) or _is_unmarked(call)):
            return await resource(call)
        if not is_upload and resumable.is_marked(call.headers):
            return await create(call)
        return await route.handler(call)

    return either


def _is_unmarked(call: Call) -> bool:
    return call.method in _UNMARKED and "tus-resumable" not in call.headers
