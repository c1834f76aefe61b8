"""The public keys that signed tokens are checked with: one from the settings, or a published set."""

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from joserfc.jwk import RSAKey

from carryall.model.errors import CarryallError, Malformed, Unavailable
from carryall.ports.clock import Clock
from carryall.ports.sender import Outbound

MIN_KEY_BITS = 2048  # NIST SP 800-131A rev. 2
JWKS_LIMIT_BYTES = 256 * 1024
FRESH_FOR = timedelta(minutes=5)
RETRY_AFTER = timedelta(seconds=30)

_MAX_MODULUS_CHARS = 1366  # base64 of 8192 bits: checking with longer ones is slow

_log = structlog.get_logger()


class KeySource(Protocol):
    """Has the keys that tokens may be signed with."""

    async def key(self, kid: str | None) -> RSAKey | None:
        """Give the RSA public key of this id (at least 2048 bits), or None when there is none.

        `kid` comes from the token and is hostile: it is compared, never used as a path, a URL or a query.

        Raises:
            Unavailable: no keys were ever had, and they can't be had now.
        """
        ...


class StaticKey:
    """The one key from the settings. It checks every token, whatever key id the token names."""

    def __init__(self, pem: str) -> None:
        """Take a public key or a certificate as PEM.

        Raises:
            Malformed: it isn't PEM, isn't an RSA key of 2048 bits or more, or is the private key.
        """
        key = _public_key(pem)
        if key.key_size < MIN_KEY_BITS:
            raise Malformed(f"The JWT public key is too short; it has to have at least {MIN_KEY_BITS} bits.")
        self._key = RSAKey.import_key(key)

    async def key(self, kid: str | None) -> RSAKey | None:  # the contract's; it changes nothing here
        """Give the key."""
        return self._key


def _public_key(pem: str) -> RSAPublicKey:
    if "PRIVATE KEY" in pem:
        raise Malformed("The JWT key in the settings is a private key; give the public key, and replace the pair.")
    data = pem.encode("utf-8")
    try:
        key = load_pem_x509_certificate(data).public_key() if "CERTIFICATE" in pem else load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed("The JWT public key can't be read; it has to be an RSA public key as PEM.") from error
    if not isinstance(key, RSAPublicKey):
        raise Malformed("The JWT public key is of another kind; it has to be an RSA public key as PEM.")
    return key


class JwksKeys:
    """The keys that an issuer publishes at one URL (RFC 7517), kept for five minutes.

    A kid that isn't among them asks for the set once more, so a key that was just added works at once; every way of
    asking together happens at most once in 30 s, and once at a time. While asking fails, the keys at hand go on.
    Old keys answer while new ones are on their way; only a kid that is unknown waits.
    """

    def __init__(self, url: str, outbound: Outbound, *, clock: Clock) -> None:
        self._url = url
        self._outbound = outbound
        self._clock = clock
        self._keys: Mapping[str | None, RSAKey] | None = None
        self._fetched_at: datetime | None = None
        self._asked_at: datetime | None = None
        self._flight: asyncio.Task[None] | None = None

    async def key(self, kid: str | None) -> RSAKey | None:
        """Give the key of this id. A token without one gets the only key of the set, if there is only one."""
        if not (self._has(kid) and self._within(FRESH_FOR, self._fetched_at)):
            self._ask()
        if self._flight is not None and not self._has(kid):
            await asyncio.shield(self._flight)  # shielded: one caller that goes away must not end it for the others
        if self._keys is None:
            wait_s = int(RETRY_AFTER.total_seconds())
            raise Unavailable("The keys to check tokens with can't be had now.", retry_after_s=wait_s)
        return self._keys.get(kid)

    def _has(self, kid: str | None) -> bool:
        return self._keys is not None and kid in self._keys

    def _ask(self) -> None:
        """Begin to fetch the set, unless somebody does or did within 30 s."""
        if self._flight is None and not self._within(RETRY_AFTER, self._asked_at):
            self._asked_at = self._clock.now()
            self._flight = asyncio.create_task(self._fetch())

    def _within(self, span: timedelta, since: datetime | None) -> bool:
        # Both ends: a clock that was set back must not make keys fresh for days.
        return since is not None and timedelta(0) <= self._clock.now() - since < span

    async def _fetch(self) -> None:
        try:
            body = await self._outbound.get(self._url, limit_bytes=JWKS_LIMIT_BYTES)
            self._keys = read_jwks(body)
            self._fetched_at = self._clock.now()
        except CarryallError as error:
            _log.warning("jwks.failed", code=error.stable_code, detail=error.message)
        finally:
            self._flight = None


def read_jwks(body: bytes) -> Mapping[str | None, RSAKey]:
    """Read a JWK set: its RSA keys that may check RS256 signatures, by kid. Others in it are passed over.

    None stands for "no kid given" where the set holds a single key.

    Raises:
        Malformed: it is no JWK set, or has no key that can be used.
    """
    try:
        listed = json.loads(body)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Malformed("The answer is no JWK set.") from error
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    found = [(entry.get("kid"), key) for entry in entries if (key := _usable(entry)) is not None]
    keys: dict[str | None, RSAKey] = {kid: key for kid, key in found if isinstance(kid, str)}
    if len(found) == 1:
        keys[None] = found[0][1]
    if not keys:
        raise Malformed("The JWK set has no RSA key of 2048 bits or more for RS256.")
    return keys


def _usable(entry: Mapping[str, Any]) -> RSAKey | None:
    if entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
        return None
    modulus, exponent = entry.get("n"), entry.get("e")
    if not (isinstance(modulus, str) and isinstance(exponent, str)) or len(modulus) > _MAX_MODULUS_CHARS:
        return None
    try:
        key = RSAPublicNumbers(_integer(exponent), _integer(modulus)).public_key()
    except ValueError:
        return None
    return RSAKey.import_key(key) if key.key_size >= MIN_KEY_BITS else None


def _integer(text: str) -> int:
    """Read a Base64urlUInt (RFC 7518 §2)."""
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
