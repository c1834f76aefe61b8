"""Digests in headers: what a client announces, and what it is told (RFC 9530, RFC 9651)."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers

from carryall.http.headers import joined
from carryall.model.errors import Malformed

# Sizes in bytes. md5 and sha (SHA-1) find transport faults and prove nothing else (threat 29).
_ALGORITHMS = {"sha-256": 32, "sha-512": 64, "md5": 16, "sha": 20}
CONTENT_ALGORITHMS = frozenset(_ALGORITHMS)

_KEY = r"[a-z*][a-z0-9_.*\-]*"
_ITEM = (
    r"-?\d{1,15}(?:\.\d{1,3})?"  # integer, decimal
    r'|"(?:[ !#-\[\]-~]|\\["\\])*+"'  # string
    r"|:[A-Za-z0-9+/=]*:"  # byte sequence
    r"|\?[01]"  # boolean
    r"|[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*"  # token
)
_MEMBER = re.compile(rf"({_KEY})(?:=({_ITEM}))?((?:; *{_KEY}(?:=(?:{_ITEM}))?)*)[ \t]*(,[ \t]*|\Z)", re.ASCII)
_PREFERENCE = re.compile(r"\d|10", re.ASCII)


@dataclass(frozen=True, slots=True)
class ExpectedDigests:
    """Announced digests: lower-case hexadecimal, by the algorithm names of RFC 9530.

    Attributes:
        content: of this message's bytes.
        representation: of the whole file, of which this message may bring a part.
    """

    content: Mapping[str, str]
    representation: Mapping[str, str]


def expected_digests(headers: Headers) -> ExpectedDigests:
    """Read Content-Digest and Repr-Digest, and their elders Content-MD5 (RFC 1864) and Digest (RFC 3230).

    sha-512, sha-256, sha and md5 are understood; members of other names are passed over.

    Raises Malformed, `digest_malformed`, for a field that can't be read, a digest of a wrong length, and two
    that contradict each other. An upload whose announced digest isn't understood must not pass as checked.
    """
    content = list(_structured(headers, "content-digest"))
    if md5 := headers.get("content-md5"):
        content.append(("md5", _hexadecimal("md5", md5.strip(), field="content-md5")))
    representation = [*_structured(headers, "repr-digest"), *_legacy(headers)]
    return ExpectedDigests(content=_agreed(content), representation=_agreed(representation))


def repr_digest_header(sha256_hex: str) -> str:
    """Write a Repr-Digest from a hexadecimal sha-256 (RFC 9530 §3)."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256_hex)).decode('ascii')}:"


def wants_digest(headers: Headers) -> bool:
    """Tell whether a sha-256 may be sent: Want-Repr-Digest names it with a preference above 0, or says nothing.

    A field that can't be read says nothing: preferences are advice (RFC 9530 §4).
    """
    wanted = _dictionary(joined(headers, "want-repr-digest"))
    if not wanted or not all(_PREFERENCE.fullmatch(preference) for preference in wanted.values()):
        return True
    return wanted.get("sha-256", "0") != "0"


def _dictionary(field: str | None) -> dict[str, str] | None:
    """Parse a dictionary of items (RFC 9651 §4.2.2) into raw items, without their parameters; None if it isn't one."""
    text = (field or "").strip(" ")
    members: dict[str, str] = {}
    at, ends_with_comma = 0, False
    while at < len(text):
        match = _MEMBER.match(text, at)
        if match is None:
            return None
        members[match[1]] = match[2] or "?1"
        at, ends_with_comma = match.end(), bool(match[4])
    return None if ends_with_comma else members


def _structured(headers: Headers, field: str) -> Iterable[tuple[str, str]]:
    members = _dictionary(joined(headers, field))
    if members is None:
        raise _malformed(field)
    for algorithm, item in members.items():
        if algorithm in _ALGORITHMS:
            if not item.startswith(":"):
                raise _malformed(field)
            yield algorithm, _hexadecimal(algorithm, item.strip(":"), field=field)


def _legacy(headers: Headers) -> Iterable[tuple[str, str]]:
    """Read `Digest: SHA-256=base64, …`: names in any case, values without colons."""
    for part in (joined(headers, "digest") or "").split(","):
        name, equals, value = part.strip(" \t").partition("=")
        if name and not equals:
            raise _malformed("digest")
        if name.lower() in _ALGORITHMS:
            yield name.lower(), _hexadecimal(name.lower(), value, field="digest")


def _hexadecimal(algorithm: str, encoded: str, *, field: str) -> str:
    bare = encoded.rstrip("=")  # RFC 9651 §4.2.7: missing padding is no error
    try:
        digest = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _malformed(field) from exc
    if len(digest) != _ALGORITHMS[algorithm]:
        raise _malformed(field)
    return digest.hex()


def _agreed(announced: Iterable[tuple[str, str]]) -> dict[str, str]:
    agreed: dict[str, str] = {}
    for algorithm, digest in announced:
        if agreed.setdefault(algorithm, digest) != digest:
            raise Malformed(f"Two different {algorithm} digests are announced.", code="digest_malformed")
    return agreed


def _malformed(field: str) -> Malformed:
    return Malformed(
        f"{field} can't be read. A right one is sha-256=:…: with the digest in base64 (RFC 9530).",
        code="digest_malformed",
    )
