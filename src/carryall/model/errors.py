"""Every error that Carryall raises, in one tree.

    CarryallError
    ├── Refused            the request will not be carried out as it stands
    │   ├── Malformed          it can't be understood
    │   ├── Unauthenticated    it doesn't say who asks, or says it wrongly
    │   ├── Forbidden          who asks may not do this
    │   ├── TooLarge           more bytes than the plan, the form or the field may have
    │   ├── TypeRefused        this kind of content is not taken here
    │   ├── QuotaExceeded      the owner's room is full
    │   ├── RateLimited        too many requests, or too many open uploads
    │   └── PreconditionFailed a condition that the request set doesn't hold
    ├── Conflict           the request doesn't fit what is there now
    │   ├── OffsetMismatch     the write begins where the upload doesn't end
    │   ├── UploadClosed       the upload is complete, aborted or expired
    │   ├── Incomplete         bytes are missing
    │   └── DigestMismatch     the bytes are not the ones that were announced
    ├── Missing            no such thing, or somebody else's
    ├── BodyTruncated      the client went away before the end of its body
    ├── BodyStalled        the client stopped sending, or sent too slowly
    ├── Interrupted        a newer request for the same upload asked this one to leave
    ├── Unavailable        the server can't do it now; later it may
    │   └── NoRoom             the disk is full
    └── StoreError         a store failed; `retryable` says whether trying again can help

`code` is stable and public (docs/errors.md lists them all); the text is for people and may change.
HTTP statuses are decided in `carryall.http.problems`, never here.
"""

from typing import Any, ClassVar


class CarryallError(Exception):
    """A failure that the caller should see.

    Args:
        message: for the person who reads it: what, which value, what would be right. Never secrets, paths or SQL.
        code: a narrower stable code than the class's own.
        facts: values that a program may act on, by name; they must be JSON.
        retry_after_s: seconds after which the same request may succeed.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after_s: int | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.stable_code = code or type(self).code
        self.retry_after_s = retry_after_s
        self.facts = facts


class Refused(CarryallError):
    """The request will not be carried out as it stands."""

    code = "refused"


class Malformed(Refused):
    """The request can't be understood. `errors` among the facts lists the fields, when there are any."""

    code = "malformed"


class Unauthenticated(Refused):
    """Nobody, or nobody known, asks."""

    code = "unauthenticated"


class Forbidden(Refused):
    """Who asks is known and may not do this."""

    code = "forbidden"


class TooLarge(Refused):
    """More bytes than may be sent."""

    code = "too_large"


class TypeRefused(Refused):
    """This kind of content, or of coding, is not taken here."""

    code = "type_refused"


class QuotaExceeded(Refused):
    """The owner's room is used up."""

    code = "quota_exceeded"


class RateLimited(Refused):
    """Too much at once; `retry_after_s` says when to come back."""

    code = "rate_limited"


class PreconditionFailed(Refused):
    """A condition that the request set (If-Match, If-None-Match) doesn't hold."""

    code = "precondition_failed"


class Conflict(CarryallError):
    """The request doesn't fit what is there now."""

    code = "conflict"


class OffsetMismatch(Conflict):
    """The write begins where the upload doesn't end. Facts: `offset` (bytes held), `given`."""

    code = "offset_mismatch"


class UploadClosed(Conflict):
    """The upload is complete, aborted or expired, and takes no more bytes."""

    code = "upload_closed"


class Incomplete(Conflict):
    """Bytes are missing. Facts: `missing` (segment indexes) or `offset` and `size`."""

    code = "incomplete"


class DigestMismatch(Conflict):
    """The bytes that came are not the ones announced; exactly those bytes were discarded."""

    code = "digest_mismatch"


class Missing(CarryallError):
    """No such thing. Other people's things are missing too: the two answers can't be told apart."""

    code = "not_found"


class BodyTruncated(CarryallError):
    """The client went away before the end of its body."""

    code = "body_truncated"


class BodyStalled(CarryallError):
    """The client stopped sending, or sent slower than the minimum rate."""

    code = "body_stalled"


class Interrupted(CarryallError):
    """A newer request for the same upload asked this one to let go; what had arrived is kept where the mode allows."""

    code = "interrupted"
    retryable = True


class Unavailable(CarryallError):
    """The server can't do this now; the same request may succeed later."""

    code = "unavailable"
    retryable = True


class NoRoom(Unavailable):
    """The server's disk is full."""

    code = "no_room"


class StoreError(CarryallError):
    """A store failed.

    Args:
        retryable: True where trying again can help (a timeout, a 503), False where it can't (a refused credential).
    """

    code = "store_failed"

    def __init__(self, message: str, *, retryable: bool, code: str | None = None, **facts: Any) -> None:
        super().__init__(message, code=code, **facts)
        self.retryable = retryable  # type: ignore[misc]  # the one error whose retryability isn't known by its class
