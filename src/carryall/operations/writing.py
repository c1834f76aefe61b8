"""One write to a segment: where it goes, what it replaces, and the room that it takes on its way."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from carryall.model.errors import DigestMismatch
from carryall.model.principal import Principal
from carryall.model.upload import Mode, Segment, Upload
from carryall.operations import quota
from carryall.ports.cancellation import shielded
from carryall.ports.catalog import Catalog

Progress = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Write:
    """One receive, as decided: where the bytes go, and what they replace."""

    upload: Upload
    principal: Principal
    target: Segment
    mode: Mode
    expect: Mapping[str, str]
    at_most: int | None
    progress: Progress | None = None

    @property
    def replaced(self) -> Segment | None:
        """Give the segment whose place this write takes; None where it adds to one, or is the first."""
        old = self.upload.segments.get(self.target.index)
        return old if self.mode is Mode.REPLACE else None

    @property
    def may_checkpoint(self) -> bool:
        """Tell whether what arrived counts before the end: never unverified bytes, never half a replacement."""
        return self.upload.is_resumable and self.mode is Mode.APPEND and not self.expect


class Reserved:
    """Bytes that one receive took from the owner's room on its way."""

    size = 0


class Grow:
    """Reserves room before bytes of unknown number are written."""

    def __init__(self, catalog: Catalog, write: Write, reserved: Reserved, bound: int | None) -> None:
        self._catalog = catalog
        self._write = write
        self._reserved = reserved
        self._bound = bound

    async def __call__(self, total: int) -> int:
        """Reserve at least up to `total` bytes of this write; give up to where it reaches now."""
        await shielded(self._reserve(total - self._reserved.size))  # what a commit took is known, also to who leaves
        return self._reserved.size

    async def _reserve(self, need: int) -> None:
        wish = quota.STEP_BYTES if self._bound is None else self._bound - self._reserved.size
        upload = self._write.upload
        payer = replace(self._write.principal, id=upload.owner)  # the owner's room, also when an administrator sends
        self._reserved.size += await self._catalog.write(
            lambda tx: quota.grow(tx, payer, upload.id, need=need, wish=max(need, wish))
        )


def mismatch(expect: Mapping[str, str], digests: Mapping[str, str]) -> DigestMismatch | None:
    """Give the error to raise when bytes aren't the announced ones; both are hexadecimal, by algorithm name."""
    for name, wanted in expect.items():
        if name in digests and digests[name] != wanted.lower():
            return DigestMismatch(
                f"The {name} of the bytes that came is not the one announced. They were discarded; send them again.",
                algorithm=name,
                expected=wanted.lower(),
                actual=digests[name],
            )
    return None
