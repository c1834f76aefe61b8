"""What rclone says went wrong, in our words."""

import re
from dataclasses import dataclass

from carryall.model.errors import CarryallError, Missing, StoreError

_BUSY_S = 30

# What it quotes (addresses, paths) isn't the reason; a file called "403" is no refusal.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\b[a-z0-9+.-]+://\S+')


@dataclass(frozen=True, slots=True)
class _Reason:
    code: str
    retryable: bool
    text: str
    signs: tuple[str, ...]  # what rclone says then

    def fits(self, said: str) -> bool:
        return re.search("|".join(self.signs), said) is not None


# The first that fits counts: Google answers 403 to what is too much at once, and to what is too much for the account.
# Source: the errors of rclone 1.75's operations and backends, and of go-mega.
_REASONS = (
    _Reason(
        "store_not_found",
        retryable=False,
        text="rclone knows no such remote, or can't read its configuration. Look with `rclone listremotes`.",
        signs=("find section in config", "find backend called", "config(uration)? file", r"(load|decrypt)\w* config"),
    ),
    _Reason(
        "store_busy",
        retryable=True,
        text="the remote asks to come back later.",
        signs=(
            *("rate.?limit", "too.many", "request limit", "queries per", "slow ?down", "server busy", "come back"),
            *("try again later", "temporarily not available", "service unavailable", r"\b429\b", r"\b503\b"),
            *(r"\b423\b", "locked:"),  # WebDAV, while somebody else makes the same folder
        ),
    ),
    _Reason(
        "store_full",
        retryable=False,
        text="the remote has no room for the file.",
        signs=(
            *(
                "quota",
                "insufficient.?(storage|space)",
                "no space left",
                "disk (is )?full",
                "not enough (space|storage)",
            ),
            *(r"\b507\b", r"\b552\b"),
        ),
    ),
    _Reason(
        "store_credentials",
        retryable=False,
        text="the remote refuses us. Look whether its credentials are right, or run `rclone config reconnect`.",
        signs=(
            *(r"\b40[13]\b", r"\b530\b", "unauthori[sz]ed", "forbidden", "access.?denied", "permission denied"),
            *("invalid_(grant|client)", "fetch token", "empty token", "token.{0,20}expired", "expired.{0,20}token"),
            *("unable to authenticate", "authentication failed", "login incorrect", "couldn't login", "reconnect"),
            *("is a file not a directory",),  # of S3's, which can't look whether it is one
            *("auth error", "invalid.{0,12}(credential|password|access key|api key)"),
        ),
    ),
    _Reason(
        "store_not_found",
        retryable=False,
        text="the remote has no such bucket, container or drive.",
        signs=("(bucket|container|share|drive).{0,12} (not found|doesn't exist|does not exist)", "nosuchbucket"),
    ),
    _Reason(
        "store_refused",
        retryable=False,
        text="the remote doesn't take this file.",
        signs=("too large", "too big", r"\b413\b", "maximum file size", "malware", "copyright", "restricted content"),
    ),
    _Reason(
        "store_damaged",
        retryable=True,
        text="the remote has other bytes than were sent.",
        signs=("corrupted on transfer", "(hash|size)e?s? differ"),
    ),
    _Reason(
        "store_timeout",
        retryable=True,
        text="the remote stopped answering.",
        signs=("time ?out", "timed out", "deadline exceeded"),
    ),
    _Reason(
        "store_unreachable",
        retryable=True,
        text="the remote can't be reached.",
        signs=(
            *("connection (refused|reset|closed|lost)", "no such host", "no route", "unreachable", "broken pipe"),
            *(r"\bdial\b", r"\beof\b", r"\btls\b", "x509", "certificate", "couldn't connect", r"\bssh\b"),
            *("knownhosts", "host key", "context canceled", "job not found", r"\b50[24]\b"),
        ),
    ),
)
_MISSING = re.compile(r"(object|file|directory)( \(.*\))? not found|no such file|is a directory not a file")


def failure(name: str, said: str) -> CarryallError:
    """Give the error for what rclone said of store `name`. Its own words stay out: they hold addresses and paths."""
    said = _QUOTED.sub("", said.lower())
    for reason in _REASONS:
        if reason.fits(said):
            after_s = _BUSY_S if reason.code == "store_busy" else None
            text = f"Store {name}: {reason.text}"
            return StoreError(text, retryable=reason.retryable, code=reason.code, retry_after_s=after_s)
    if _MISSING.search(said):
        return Missing("The stored file isn't there.", code="file_damaged")
    return StoreError(f"Store {name}: the remote failed.", retryable=True)


def unreachable(name: str) -> StoreError:
    """Give the error for a connection that ended in the middle: rclone's, or the remote's behind it."""
    return StoreError(f"Store {name}: the connection broke off.", retryable=True, code="store_unreachable")


def silent(name: str) -> StoreError:
    """Give the error for a daemon, or a remote behind it, that doesn't answer."""
    return StoreError(f"Store {name}: the remote stopped answering.", retryable=True, code="store_timeout")


def damaged(name: str) -> StoreError:
    """Give the error for bytes that are not those that were sent."""
    return StoreError(f"Store {name}: the remote has other bytes than were sent.", retryable=True, code="store_damaged")


_LONG = re.compile(r"[A-Za-z0-9+/_=.~%-]{16,}")
_NAMED = re.compile(r"(?i)\b(pass\w*|token|secret|key|authorization|bearer|cookie|sid|session\w*)(\W{1,4})\S+")


def redacted(said: str) -> str:
    """Take out of a log line of rclone whatever may be a secret: addresses, what is quoted, named, or long."""
    return _LONG.sub("…", _NAMED.sub(r"\1\2…", _QUOTED.sub("…", said)))[:500]
