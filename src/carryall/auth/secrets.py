"""Secrets: making them, comparing them, and keeping only what can't be turned back."""

import base64
import binascii
import hashlib
import hmac
import secrets

TOKEN_PREFIX = "cya_"  # noqa: S105  # no secret: it lets people and scanners of leaks tell what they found

# A link's id is 128 random bits already; its password only has to cost something: 16 MiB and 32 ms, measured.
_COST, _BLOCK, _LANES = 2**14, 8, 1
_SCRYPT_MEMORY_BYTES = 64 * 1024 * 1024
_SALT_BYTES = 16
_KEY_BYTES = 32


def new_token() -> str:
    """Make a credential: "cya_" and 256 random bits in 43 URL-safe characters."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def digest_token(token: str) -> str:
    """Give what is kept of a token: its sha-256, hexadecimal. 256 random bits need no salt and no stretching."""
    return hashlib.sha256(_bytes(token)).hexdigest()


def same(given: str, kept: str) -> bool:
    """Compare two secrets. Hashes are compared, so the time tells neither how much agrees nor how long either is."""
    return hmac.compare_digest(hashlib.sha256(_bytes(given)).digest(), hashlib.sha256(_bytes(kept)).digest())


def hash_password(password: str) -> str:
    """Give what is kept of a password: "scrypt$<salt>$<key>", both base64.

    Takes some 32 ms of CPU and 16 MiB: call it on a thread, never on the event loop.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt${_text(salt)}${_text(_stretch(password, salt))}"


def check_password(password: str, stored: str) -> bool:
    """Tell whether this is the password of `hash_password`'s text. As slow as that: call it on a thread."""
    try:
        scheme, salt, key = stored.split("$")
        wanted = base64.b64decode(key, validate=True)
        given = _stretch(password, base64.b64decode(salt, validate=True))
    except (ValueError, binascii.Error):
        return False
    return scheme == "scrypt" and hmac.compare_digest(given, wanted)


def _stretch(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        _bytes(password),
        salt=salt,
        n=_COST,
        r=_BLOCK,
        p=_LANES,
        maxmem=_SCRYPT_MEMORY_BYTES,
        dklen=_KEY_BYTES,
    )


def _bytes(text: str) -> bytes:
    # Headers and JSON can bring lone surrogates; they are wrong secrets, not errors.
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
