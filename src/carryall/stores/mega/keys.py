"""What a password becomes: keys for logging in, a session out of RSA, and one-time codes."""

import base64
import hashlib
import hmac
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from typing import Any

from carryall.stores.mega.crypto import b64decode, b64encode, ecb, ecb_decrypt, padded, xor

_V1_SEED = bytes.fromhex("93C467E37DB0C7A4D1BE3F810152CB56")
_SESSION_BYTES = 43
_CODE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class LoginKeys:
    """What proves the password, and what opens the master key."""

    user_hash: str = field(repr=False)
    password_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """A session that MEGA opened for us: all that is needed to act for the account without its password."""

    user: str
    sid: str = field(repr=False)
    master_key: bytes = field(repr=False)


def stretched(password: str, salt: bytes) -> bytes:
    """Give 32 bytes of PBKDF2, slowly (40 ms)."""
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 100_000, 32)


def keys_v2(password: str, salt: bytes) -> LoginKeys:
    """Give the keys of an account made since 2018."""
    derived = stretched(password, salt)
    return LoginKeys(user_hash=b64encode(derived[16:]), password_key=derived[:16])


def keys_v1(email: str, password: str) -> LoginKeys:
    """Give the keys of an older account. The e-mail is lower-case."""
    secret = password.encode()
    blocks = [ecb(padded(secret[at : at + 16])) for at in range(0, len(secret), 16)]
    key = _V1_SEED
    for _ in range(65536):
        for block in blocks:
            key = block.update(key)
    mixed = bytes(16)
    address = padded(email.encode())
    for at in range(0, len(address), 16):
        mixed = xor(mixed, address[at : at + 16])
    hashing = ecb(key)
    for _ in range(16384):
        mixed = hashing.update(mixed)
    return LoginKeys(user_hash=b64encode(mixed[:4] + mixed[8:12]), password_key=key)


def identity(answer: dict[str, Any], password_key: bytes) -> Identity:
    """Open what MEGA answered to the login: the master key with the password's, the session with the RSA key.

    Raises:
        ValueError, KeyError: it can't be opened with this password.
    """
    user = str(answer["u"])
    master_key = ecb_decrypt(password_key, b64decode(answer["k"]))
    if len(master_key) != 16:
        raise ValueError("the master key hasn't 16 bytes")
    p, q, exponent, _ = _numbers(ecb_decrypt(master_key, b64decode(answer["privk"])), 4)
    (encrypted,) = _numbers(b64decode(answer["csid"]), 1)
    modulus = p * q
    if not modulus:
        raise ValueError("the RSA key is nothing")
    plain = pow(encrypted, exponent, modulus)
    session = plain.to_bytes((plain.bit_length() + 7) // 8, "big")[:_SESSION_BYTES]
    if session[16:27] != user.encode():  # the SDK's own check
        raise ValueError("the session is not this user's")
    return Identity(user=user, sid=b64encode(session), master_key=master_key)


def _numbers(content: bytes, count: int) -> list[int]:
    """Read RSA numbers: two bytes tell how many bits each has, the bytes follow, the highest first."""
    numbers, at = [], 0
    for _ in range(count):
        length = (int.from_bytes(content[at : at + 2], "big") + 7) // 8
        number = content[at + 2 : at + 2 + length]
        if not length or len(number) < length:
            raise ValueError("not an RSA number")
        numbers.append(int.from_bytes(number, "big"))
        at += 2 + length
    return numbers


def one_time_code(secret: str, unix_time_s: float) -> str:
    """Give the six digits of two-factor authentication. Source: RFC 6238, with SHA-1 and 30 seconds.

    Raises:
        ValueError: the secret isn't base32.
    """
    bare = "".join(secret.split()).replace("-", "").rstrip("=").upper()
    try:
        key = base64.b32decode(bare + "=" * (-len(bare) % 8))
    except Base64Error as error:
        raise ValueError("not base32") from error
    step = int(unix_time_s) // _CODE_SECONDS
    mark = hmac.digest(key, step.to_bytes(8, "big"), hashlib.sha1)
    at = mark[-1] & 15
    number = int.from_bytes(mark[at : at + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"
