"""What shall go wrong, and how often: rules that a test hands in, taken by the first request each fits."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass
class Rule:
    """One thing that goes wrong.

    Attributes:
        on: "cs", "chunk" or "dl".
        command: only requests with this command (cs).
        offset: only the piece at this offset (chunk).
        skip: so many fitting requests are let through first.
        times: so many are hit.
        status: this HTTP status instead of an answer; nothing is done. 509 has X-MEGA-Time-Left.
        answer: this body instead; nothing is done. For cs a number, which stands for the whole batch.
        is_bare: the number isn't in a list (cs).
        hashcash: 402 with a challenge of this easiness (cs); a solved one is let through.
        delay_s: wait first; alone it does nothing else.
        cut: break the connection, nothing is done.
        drop: do it, then break the connection.
        mute: do it, but answer a piece as if more were to come (chunk).
        cut_after: break a download after so many bytes.
        flip: change the byte at this offset of a file on its way out (dl).
        time_left_s: what X-MEGA-Time-Left says.
    """

    on: str
    command: str | None = None
    offset: int | None = None
    skip: int = 0
    times: int = 1
    status: int | None = None
    answer: Any = None
    is_bare: bool = False
    hashcash: int | None = None
    delay_s: float = 0
    cut: bool = False
    drop: bool = False
    mute: bool = False
    cut_after: int | None = None
    flip: int | None = None
    time_left_s: int = 60


NOTHING = Rule(on="")


class Faults:
    """The rules that are left."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, told: dict[str, Any]) -> None:
        """Take a rule. Raises ValueError for one that couldn't fit anything."""
        unknown = set(told) - {field.name for field in fields(Rule)}
        if unknown or told.get("on") not in {"cs", "chunk", "dl"}:
            raise ValueError(f"no such rule: {told}")
        self._rules.append(Rule(**told))

    def clear(self) -> None:
        """Let everything go well again."""
        self._rules.clear()

    def take(self, on: str, *, commands: list[str] | None = None, offset: int | None = None) -> Rule:
        """Give the rule that a request is hit by, or NOTHING."""
        for rule in list(self._rules):
            if rule.on != on or (rule.command is not None and rule.command not in (commands or [])):
                continue
            if rule.offset is not None and rule.offset != offset:
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            rule.times -= 1
            if rule.times <= 0:
                self._rules.remove(rule)
            return rule
        return NOTHING
