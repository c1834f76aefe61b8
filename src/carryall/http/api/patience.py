"""How long a request waits for its files: past that the answer is 202, and the completion goes on behind."""

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse, Response

from carryall.http.call import Call
from carryall.model.errors import CarryallError
from carryall.model.file import File
from carryall.model.principal import Principal
from carryall.operations.ingest import Door

_POLL_S = 1
COMPLETING: dict[str, Any] = {
    "status": "completing",
    "status_url": "http://127.0.0.1:8000/v1/uploads/7hJkL2mN4pQ6rS8tU0vW1x?output=json",
}


class Patience:
    """Waits for completions, and keeps those that go on behind."""

    def __init__(self) -> None:
        self._behind: set[asyncio.Task[list[File]]] = set()

    async def completed(self, call: Call, principal: Principal, upload_ids: Sequence[str]) -> list[File] | None:
        """Make files of uploads, all or none; None where that takes longer than the settings let a request wait.

        A completion that fails gives its uploads up, whether somebody still waits for it or not.
        """
        task = asyncio.ensure_future(_complete(call.context.door, principal, list(upload_ids)))
        self._behind.add(task)
        task.add_done_callback(self._ended)
        done, _ = await asyncio.wait({task}, timeout=call.context.rules.complete_wait_s)
        return task.result() if done else None

    def _ended(self, task: asyncio.Task[list[File]]) -> None:
        self._behind.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio would report one that nobody looked at; the uploads tell how it went


async def _complete(door: Door, principal: Principal, upload_ids: list[str]) -> list[File]:
    try:
        return await door.complete_all(principal, upload_ids)
    except CarryallError as reason:
        for upload_id in upload_ids:
            await door.abort(principal, upload_id, reason=reason)
        raise


def still_completing(call: Call, upload_id: str) -> Response:
    """Give the 202: where to ask for the upload. Uploads of one form are completed together, so one tells of all."""
    status_url = call.url("v1", "uploads", upload_id) + "?output=json"  # without that it gives the file in the end
    headers = {"Location": status_url, "Retry-After": str(_POLL_S)}
    return JSONResponse({"status": "completing", "status_url": status_url}, 202, headers)
