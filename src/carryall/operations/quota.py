"""The owner's room: reserved at open, grown before bytes are written, settled at complete."""

from carryall.model.errors import QuotaExceeded, RateLimited, TooLarge
from carryall.model.principal import Plan, Principal
from carryall.ports.catalog import Tx

STEP_BYTES = 1 << 20  # docs/design/door.md, room: an unknown size grows by this


def check_size(plan: Plan, size: int | None) -> None:
    """Raise TooLarge for a file that the plan doesn't take at any fill level. `size` may be a lower bound."""
    if size is not None and plan.max_file_bytes is not None and size > plan.max_file_bytes:
        raise TooLarge(
            f"The file is too large: your plan takes files of at most {plan.max_file_bytes} bytes.",
            limit=plan.max_file_bytes,
        )


def open_slot(tx: Tx, principal: Principal) -> None:
    """Count an open upload. Raises RateLimited past the plan's number."""
    most = principal.plan.max_open_uploads
    if not tx.usages.upload_opened(principal.id, at_most=most):
        raise RateLimited(
            f"You have {most} uploads under way, as many as your plan allows. Finish or cancel one.",
            code="too_many_open_uploads",
            retry_after_s=60,
            limit=most,
        )


def reserve(tx: Tx, principal: Principal, size: int) -> None:
    """Take room. Raises QuotaExceeded when it isn't there; nothing is taken then."""
    total = principal.plan.total_bytes
    if not tx.usages.reserve(principal.id, size, total_bytes=total):
        raise _exceeded(tx, principal)


def grow(tx: Tx, principal: Principal, upload_id: str, *, need: int, wish: int) -> int:
    """Reserve between `need` and `wish` more bytes for an upload, as the room allows; give how many.

    Raises QuotaExceeded when not even `need` is there.
    """
    total = principal.plan.total_bytes
    size = wish
    if total is not None:
        usage = tx.usages.get(principal.id)
        size = max(need, min(wish, total - usage.stored_bytes - usage.reserved_bytes))
    reserve(tx, principal, size)
    adjust(tx, upload_id, size)
    return size


def adjust(tx: Tx, upload_id: str, change: int) -> None:
    """Write on the upload's row that it holds so much more (or less) of its owner's reservation."""
    if change:
        tx.uploads.add_reserved(upload_id, change)


def give_back(tx: Tx, owner: str, upload_id: str, size: int) -> None:
    """Release a part of an upload's reservation. A negative size takes more, past any limit: held bytes count."""
    tx.usages.release(owner, size)
    adjust(tx, upload_id, -size)


def check_room(tx: Tx, principal: Principal, size: int) -> None:
    """Raise QuotaExceeded when so many bytes can't fit now. Takes nothing: for refusing before the first byte."""
    total = principal.plan.total_bytes
    if total is None:
        return
    usage = tx.usages.get(principal.id)
    if usage.stored_bytes + usage.reserved_bytes + size > total:
        raise _exceeded(tx, principal)


def _exceeded(tx: Tx, principal: Principal) -> QuotaExceeded:
    usage = tx.usages.get(principal.id)
    total = principal.plan.total_bytes or 0
    left = max(0, total - usage.stored_bytes - usage.reserved_bytes)
    return QuotaExceeded(
        f"This doesn't fit: {left} of {total} bytes are free. Delete files, or ask for a larger plan.",
        available=left,
        total=total,
    )
