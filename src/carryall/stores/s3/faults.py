"""What went wrong at a provider, in our words."""

import ssl
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from carryall.model.errors import CarryallError, Missing, StoreError


@dataclass(frozen=True, slots=True)
class _Kind:
    """One way of failing: our code, what people are told, and whether trying again is in vain."""

    code: str
    text: str
    is_final: bool = field(default=False, kw_only=True)


_WRONG_KEY = _Kind("store_credentials", "doesn't know the access key: check ACCESS_KEY.", is_final=True)
_WRONG_SECRET = _Kind(
    "store_credentials", "refuses the signature: check ACCESS_KEY, SECRET_KEY and REGION.", is_final=True
)
_WRONG_TOKEN = _Kind(
    "store_credentials", "refuses the session token: it has expired, or isn't the key's.", is_final=True
)
_WRONG_REGION = _Kind("store_not_found", "has the bucket in another region: check REGION.", is_final=True)
_DENIED = _Kind(
    "store_credentials", "denies access: check the keys, and their rights on BUCKET and PREFIX.", is_final=True
)
_SKEWED = _Kind("store_credentials", "refuses the time of the request: set this machine's clock.", is_final=True)
_NO_BUCKET = _Kind("store_not_found", "has no such bucket: check BUCKET, ENDPOINT_URL and ADDRESSING.", is_final=True)
_FULL = _Kind("store_full", "has no room left for this account or bucket.", is_final=True)
_REFUSED = _Kind("store_refused", "will never take this file: it is too large, or not allowed there.", is_final=True)
_BUSY = _Kind("store_busy", "asks to come back later.")
_LATE = _Kind("store_timeout", "stopped answering.")
_GONE = _Kind("store_unreachable", "can't be reached.")
_DAMAGED = _Kind("store_damaged", "got other bytes than were sent.")
_FAILED = _Kind("store_failed", "failed.")
_WRONG = _Kind("store_failed", "doesn't take the request as it was made.", is_final=True)

# Source: AWS's list of S3 error codes, and what Ceph, MinIO, Garage, R2, B2 and Swift add to it.
_BY_CODE = {
    "InvalidAccessKeyId": _WRONG_KEY,
    "InvalidClientTokenId": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "ExpiredToken": _WRONG_TOKEN,
    "ExpiredTokenException": _WRONG_TOKEN,
    "InvalidToken": _WRONG_TOKEN,
    "TokenRefreshRequired": _WRONG_TOKEN,
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "PermanentRedirect": _WRONG_REGION,
    "RequestTimeTooSkewed": _SKEWED,
    "RequestExpired": _SKEWED,
    "AccessDenied": _DENIED,
    "AccountProblem": _DENIED,
    "AllAccessDisabled": _DENIED,
    "NotSignedUp": _DENIED,
    "NoSuchBucket": _NO_BUCKET,
    "InvalidBucketName": _NO_BUCKET,
    "QuotaExceeded": _FULL,
    "ServiceQuotaExceeded": _FULL,
    "InsufficientStorage": _FULL,
    "StorageFull": _FULL,
    "XMinioStorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "EntityTooLarge": _REFUSED,
    "KeyTooLongError": _REFUSED,
    "UnavailableForLegalReasons": _REFUSED,
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "TooManyRequests": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "OperationAborted": _BUSY,
    "ConditionalRequestConflict": _BUSY,
    "RequestTimeout": _LATE,
    "BadDigest": _DAMAGED,
    "IncompleteBody": _DAMAGED,
    "InvalidPart": _DAMAGED,
    "InvalidPartOrder": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "XAmzContentChecksumMismatch": _DAMAGED,
    "InternalError": _FAILED,
}
_BY_STATUS = {
    301: _WRONG_REGION,
    307: _BUSY,  # AWS, while the name of a new bucket spreads
    401: _DENIED,
    403: _DENIED,
    404: _NO_BUCKET,
    408: _LATE,
    409: _BUSY,
    413: _REFUSED,
    429: _BUSY,
    451: _REFUSED,
    502: _GONE,
    503: _BUSY,
    504: _LATE,
    507: _FULL,
}


class UploadGone(StoreError):
    """The provider doesn't know the multipart upload any more: it was completed, or given up."""


def answered(name: str, status: int, headers: Mapping[str, str], body: bytes) -> CarryallError:
    """Say what an answer that isn't a success means."""
    code = error_code(body)
    if code in ("NoSuchKey", "NoSuchVersion"):
        return gone()
    if code == "NoSuchUpload":
        return UploadGone(f"Store {name} gave up the upload half-way.", retryable=True)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (_FAILED if status >= 500 else _WRONG)
    said = f" It says {status}{f' {code}' if code else ''}."
    return _error(name, kind, said, retry_after_s=_seconds(headers.get("Retry-After", "")))


def broken(name: str, error: BaseException) -> StoreError:
    """Say what a connection that failed means. Where it led is the operator's affair: owners read this, too."""
    if isinstance(error, TimeoutError):
        return _error(name, _LATE, "")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return _error(name, _GONE, " There is no TLS with it: check ENDPOINT_URL and its certificate.")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL):
        return _error(name, _GONE, " There is no connection: check ENDPOINT_URL.")
    return _error(name, _GONE, " The connection broke.")


def damaged(name: str, what: str) -> StoreError:
    """Say that what is there, or comes back, isn't what was sent."""
    return StoreError(f"Store {name}: {what}", retryable=True, code="store_damaged")


def gone() -> Missing:
    """Say that an object isn't there."""
    return Missing("The stored file isn't there.", code="file_damaged")


def too_large(name: str) -> StoreError:
    """Say that S3 has a limit."""
    return _error(name, _REFUSED, " S3 takes files up to 5 TiB.")


def error_code(body: bytes) -> str:
    """Read the code out of an answer that may be an error; "" where there is none."""
    if b"<Error" not in body[:4096]:
        return ""
    try:
        root = _element(body)
    except ET.ParseError:
        return ""
    return (root.findtext("{*}Code") or "").strip()[:64] if root.tag.rpartition("}")[2] == "Error" else ""


def parsed(name: str, body: bytes) -> ET.Element:
    """Parse what the provider answered."""
    try:
        return _element(body)
    except ET.ParseError as error:
        raise damaged(name, "what it answered isn't what S3 answers: check ENDPOINT_URL.") from error


def _element(body: bytes) -> ET.Element:
    return ET.fromstring(body)  # noqa: S314  # bounded, and expat 2.4.1 and later stop entities that multiply


def _error(name: str, kind: _Kind, more: str, *, retry_after_s: int | None = None) -> StoreError:
    text = f"Store {name} {kind.text}{more}"
    return StoreError(text, retryable=not kind.is_final, code=kind.code, retry_after_s=retry_after_s)


def _seconds(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else None
