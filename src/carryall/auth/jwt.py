"""Tokens that another service signed (RFC 7519): RS256, and nothing else."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc.errors import JoseError
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact

from carryall.auth.jwks import KeySource
from carryall.model.errors import Malformed, Unauthenticated
from carryall.ports.clock import Clock
from carryall.ports.verify import Claims

TOKEN_LIMIT_BYTES = 16 * 1024
MAX_LEEWAY_S = 60  # threat 7

# Headers by which a token would choose how it is checked. Honest issuers have no need of them here.
_REFUSED_HEADERS = frozenset({"crit", "b64", "jku", "jwk", "x5u", "x5c"})
_SUBJECT = re.compile(r"[A-Za-z0-9._@-]{1,128}")
_FILE_ID = re.compile(r"[0-9]{1,20}")
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()

_RS256 = JWSRegistry(algorithms=["RS256"], strict_check_header=False)
_RS256.max_header_length = TOKEN_LIMIT_BYTES  # joserfc's 512 are too few for issuers that name certificates
_RS256.max_signature_length = 1366  # base64 of 8192 bits


class JwtVerifier:
    """Checks tokens of one issuer for one audience (threat 7, decision 17)."""

    def __init__(self, keys: KeySource, *, issuer: str, audience: str, leeway_s: int, clock: Clock) -> None:
        """Take what every token has to say.

        Args:
            keys: what signatures are checked with.
            issuer: exactly `iss`.
            audience: `aud`, or one of its entries.
            leeway_s: how far the two clocks may be apart, in seconds; more than 60 counts as 60.

        Raises:
            Malformed: issuer or audience is empty.
        """
        if not (issuer and audience):
            raise Malformed("JWT needs an expected issuer and an expected audience; neither may be empty.")
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway = timedelta(seconds=min(leeway_s, MAX_LEEWAY_S))
        self._clock = clock

    async def verify(self, token: str) -> Claims:
        """Give what the token says. The signature is checked before a single claim is read."""
        try:
            jws = _take_apart(token)
            key = await self._keys.key(jws.protected.get("kid"))
            if key is None or not validate_compact(jws, key, registry=_RS256):
                raise _invalid()
            return self._read(json.loads(jws.payload.decode("utf-8")))
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise _invalid() from error

    def _read(self, claims: object) -> Claims:
        if not isinstance(claims, dict):
            raise _invalid()
        audiences = claims.get("aud")
        audiences = audiences if isinstance(audiences, list) else [audiences]
        if claims.get("iss") != self._issuer or self._audience not in audiences:
            raise _invalid()
        expires_at = _moment(claims["exp"]) if "exp" in claims else None
        if expires_at is None or not self._has_begun(claims):
            raise _invalid()
        read = Claims(subject=_subject(claims.get("sub")), file_id=_file_id(claims), expires_at=expires_at)
        if self._clock.now() >= expires_at + self._leeway:
            raise Unauthenticated("The token has expired.", code="token_expired")
        return read

    def _has_begun(self, claims: Mapping[str, Any]) -> bool:
        return "nbf" not in claims or _moment(claims["nbf"]) <= self._clock.now() + self._leeway


def _invalid() -> Unauthenticated:
    return Unauthenticated("Invalid token.", code="token_invalid")


def _take_apart(token: str) -> CompactSignature:
    """Split and decode; nothing is believed yet. The length comes first, so that decoding is bounded."""
    if len(token) > TOKEN_LIMIT_BYTES:
        raise _invalid()
    jws = extract_compact(token.encode("ascii"), registry=_RS256)
    header: object = jws.protected  # joserfc doesn't check that it is an object
    if not isinstance(header, dict) or header.get("alg") != "RS256" or not _REFUSED_HEADERS.isdisjoint(header):
        raise _invalid()
    if not isinstance(header.get("kid", ""), str):
        raise _invalid()
    return jws


def _moment(value: object) -> datetime:
    """Read a NumericDate: seconds since 1970, whole or not (RFC 7519 §2)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid()
    if not 0 <= value < _LATEST:  # neither infinity nor NaN, which Python's JSON takes, lies between
        raise _invalid()
    return datetime.fromtimestamp(value, tz=UTC)


def _subject(value: object) -> str:
    if not isinstance(value, str) or not _SUBJECT.fullmatch(value):
        raise _invalid()
    return value


def _file_id(claims: Mapping[str, Any]) -> str | None:
    """Read the scope: an integer, or its digits as text. Anything else, null too, would widen the token: refused."""
    if "file_id" not in claims:
        return None
    value = claims["file_id"]
    if not isinstance(value, int | str) or not _FILE_ID.fullmatch(str(value)):
        raise _invalid()
    return str(int(value))
