"""Where a file is to go: some stores, and how many of them have to have it."""

import re
from dataclasses import dataclass, replace
from typing import Self

from carryall.model.errors import Malformed

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,23}")
_SHAPE = (
    "Write store names with commas between them, and before them how many must have the file if not all: "
    "local,s3 or any:s3,mega or 2:local,s3,mega"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Stores that a file is delivered to, and how many must have it before it counts as delivered.

    Every store gets the file; `needed` says from how many copies on its owner's wish is fulfilled.

    Attributes:
        stores: names of the settings, each once; at least one.
        needed: 1 to the number of stores.
    """

    stores: tuple[str, ...]
    needed: int

    @classmethod
    def of(cls, *stores: str) -> Self:
        """Give the target of all these stores."""
        return cls(stores, len(stores))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `local,s3` (all of them), `all:local,s3`, `any:s3,mega` or `2:local,s3,mega`, in whatever case.

        Raises Malformed (`target_malformed`).
        """
        rule, colon, listed = text.strip().lower().rpartition(":")
        stores = tuple(part.strip() for part in listed.split(","))
        if not all(_NAME.fullmatch(store) for store in stores):
            raise Malformed(f"A target can't be {text[:200]!r}. {_SHAPE}.", code="target_malformed")
        if len(set(stores)) != len(stores):
            raise Malformed(f"The target {text[:200]!r} names a store twice.", code="target_malformed")
        needed = _needed(rule.strip() if colon else "all", len(stores))
        if needed is None:
            raise Malformed(
                f"The target's rule {rule[:200]!r} is none for {len(stores)} stores. {_SHAPE}.", code="target_malformed"
            )
        return cls(stores, needed)

    def __str__(self) -> str:
        """Give it as `parse` reads it."""
        listed = ",".join(self.stores)
        if self.needed == len(self.stores):
            return listed
        return f"{'any' if self.needed == 1 else self.needed}:{listed}"

    def moved(self, store: str, to: str) -> "Target":
        """Give the target with one store in place of another; where that is among them already, the first just goes."""
        stores = tuple(dict.fromkeys(to if name == store else name for name in self.stores))
        return replace(self, stores=stores, needed=min(self.needed, len(stores)))


def _needed(rule: str, number: int) -> int | None:
    if rule in ("all", "any"):
        return number if rule == "all" else 1
    if rule.isascii() and rule.isdecimal() and 1 <= int(rule[:9]) <= number:
        return int(rule)
    return None
