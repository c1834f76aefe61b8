"""MEGA's numbers, HTTP's statuses and broken connections, as errors of ours."""

from typing import Any

import aiohttp

from carryall.model.errors import StoreError

INTERNAL, AGAIN, RATE_LIMIT, FAILED, TOO_MANY = -1, -3, -4, -5, -6
EXPIRED, NOT_FOUND, ACCESS, INCOMPLETE, KEY = -8, -9, -11, -13, -14
SESSION, BLOCKED, OVER_QUOTA, TEMPORARILY, TOO_MANY_CONNECTIONS = -15, -16, -17, -18, -19
GOING_OVER_QUOTA, SECOND_FACTOR, PAST_DUE, PAYWALL = -24, -26, -28, -29

_TEXTS = {
    OVER_QUOTA: ("store_full", "The MEGA account is full. Free some space there, or upgrade it."),
    GOING_OVER_QUOTA: (
        "store_full",
        "The MEGA account has no room for this file. Free some space there, or upgrade it.",
    ),
    PAYWALL: ("store_full", "MEGA has closed the account for uploads: it holds more than its plan allows."),
    BLOCKED: ("store_credentials", "MEGA has blocked the account. Log in at mega.nz to see why."),
    PAST_DUE: ("store_credentials", "MEGA has suspended the business account: a payment is due."),
    ACCESS: ("store_refused", "MEGA doesn't permit this for this file."),
    SESSION: ("store_busy", "MEGA ended the session just after it was opened."),
}
_PASSING = {
    INTERNAL: "MEGA has a trouble of its own.",
    AGAIN: "MEGA is busy.",
    RATE_LIMIT: "MEGA says that we ask too often.",
    TOO_MANY: "MEGA says that we ask too much at once.",
    TEMPORARILY: "MEGA has what was asked for, but not now.",
    TOO_MANY_CONNECTIONS: "MEGA says that there are too many connections.",
    SESSION: "",
}


class Refusal(StoreError):
    """A negative number that MEGA answered."""

    def __init__(self, number: int) -> None:
        passing = _PASSING.get(number)
        code, text = _TEXTS.get(number, ("store_busy" if passing else "store_failed", passing or "MEGA refused."))
        super().__init__(f"{text} (MEGA's error {number})", retryable=passing is not None, code=code)
        self.number = number


class Passing(StoreError):
    """A failure of the moment: the same request may succeed soon."""

    def __init__(self, message: str, *, code: str = "store_busy", retry_after_s: int | None = None) -> None:
        super().__init__(message, retryable=True, code=code, retry_after_s=retry_after_s)


class Restart(StoreError):
    """This upload can't go on at its address; with another one it can, from the beginning."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


def is_passing(error: StoreError) -> bool:
    """Tell whether the same request is worth being sent again at once."""
    if isinstance(error, Refusal):
        return error.number in _PASSING and error.number != SESSION
    return isinstance(error, Passing)


def of_status(status: int, left: str | None = None) -> StoreError:
    """Give the error of an HTTP status; `left` are the seconds of `X-MEGA-Time-Left`, where MEGA said them."""
    if status == 509:
        seconds = int(left) if left and left.isdecimal() else None
        return Passing("The MEGA account's transfer quota is used up for now.", retry_after_s=seconds)
    if status in {429, 500, 502, 503, 504}:
        return Passing(f"MEGA is busy (HTTP {status}).")
    return StoreError(f"MEGA answered HTTP {status}, which nobody expected.", retryable=True)


def of_connection(error: aiohttp.ClientError | OSError) -> Passing:
    """Give the error of a connection that couldn't be made, or broke."""
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
        return Passing("MEGA stopped answering.", code="store_timeout")
    return Passing("MEGA can't be reached.", code="store_unreachable")


def part(answer: Any, name: str) -> Any:
    """Give one part of an answer. Raises StoreError where it isn't there."""
    if not isinstance(answer, dict) or name not in answer:
        raise StoreError(f"MEGA's answer has no {name!r}.", retryable=True)
    return answer[name]
