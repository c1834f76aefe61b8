"""What was promised to be in a store before the answer: wait for it, bounded; say how it stands past that."""

from typing import Any

from starlette.responses import JSONResponse, Response

from carryall.http.call import Call
from carryall.model.errors import StoreError
from carryall.model.file import Copy, CopyState, File

_LOOK_AGAIN_S = 2


async def delivered(call: Call, file: File) -> File | None:
    """Wait until a file is in the stores that it was promised to; None where that takes longer than may be waited.

    What had failed before, as only somebody finds it who repeats a request, is tried again at once.
    Raises StoreError when a try failed without which the promise can't be kept. The file is kept and tried again then,
    unless the request said otherwise; the facts tell where to ask for it.
    """
    if file.is_delivered:
        return file
    failed = [copy.store for copy in file.copies if copy.state is CopyState.FAILED]
    if failed:
        await call.context.deliver.retry(file.id, failed)
    outcome = await call.context.deliver.wait(file, seconds=call.context.rules.relay_wait_s)
    if outcome.failure is not None:
        raise _failure(call, file, outcome.failure)
    return outcome.file if outcome.state == "delivered" else None


def _failure(call: Call, file: File, copy: Copy) -> StoreError:
    is_waiting = copy.next_try_at is not None
    facts: dict[str, Any] = {"file_id": file.id, "status_url": status_url(call, file)} if is_waiting else {}
    seconds = None
    if copy.next_try_at is not None:
        seconds = max(1, int((copy.next_try_at - call.context.clock.now()).total_seconds()))
        facts["next_try_at"] = copy.next_try_at.isoformat()
    then = "The file is kept, and tried again." if is_waiting else "The file was not kept."
    return StoreError(
        f"The file could not be brought to {copy.store}: {copy.error} {then}",
        retryable=is_waiting,
        code=copy.error_code,
        retry_after_s=seconds,
        store=copy.store,
        **facts,
    )


def status_url(call: Call, file: File) -> str:
    """Give where to ask how a file's deliveries stand."""
    return call.url("v1", "files", file.id)


def still_delivering(call: Call, file: File, told: dict[str, Any]) -> Response:
    """Give the 202: the file is here and safe, its delivery goes on, and who asks there learns how far it is.

    Args:
        told: what the surface says beside that.
    """
    url = status_url(call, file)
    return JSONResponse({**told, "status_url": url}, 202, {"Location": url, "Retry-After": str(_LOOK_AGAIN_S)})
