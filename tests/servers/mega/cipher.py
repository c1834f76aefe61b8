"""MEGA's cryptography, as its server would see it if it had the keys: written anew, so that the client can be wrong.

Bytes in, bytes out. Nothing here is shared with `carryall.stores`: two that make the same mistake would agree.
"""

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_ZERO = bytes(16)
_V1_START = bytes.fromhex("93C467E37DB0C7A4D1BE3F810152CB56")
_CRC_BYTES = 12


def encode(raw: bytes) -> str:
    """Give base64 as MEGA writes it: for URLs, without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Read base64. Raises ValueError."""
    plain = text.replace("+", "-").replace("/", "_").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)


def _blockwise(key: bytes) -> Cipher[modes.ECB]:
    """Give the plain block cipher."""
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  # the protocol has it so


def ecb(key: bytes, block: bytes, *, back: bool = False) -> bytes:
    """Encrypt (or decrypt) whole blocks, each by itself."""
    cipher = _blockwise(key)
    turned = cipher.decryptor() if back else cipher.encryptor()
    return turned.update(block) + turned.finalize()


def cbc(key: bytes, data: bytes, *, iv: bytes = _ZERO, back: bool = False) -> bytes:
    """Encrypt (or decrypt) whole blocks, chained."""
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    turned = cipher.decryptor() if back else cipher.encryptor()
    return turned.update(data) + turned.finalize()


def counted(key: bytes, nonce: bytes, data: bytes, offset: int) -> bytes:
    """Encrypt or decrypt what stands at an offset of a file; the offset is a multiple of 16."""
    cipher = Cipher(algorithms.AES(key), modes.CTR(nonce + struct.pack(">Q", offset // 16)))
    turned = cipher.encryptor()
    return turned.update(data) + turned.finalize()


def xor(one: bytes, other: bytes) -> bytes:
    """XOR two equally long strings."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


# --- passwords -----------------------------------------------------------------------------------------------------


def password_key(version: int, password: str, salt: bytes, email: str) -> tuple[bytes, str]:
    """Give the key that a password makes, and the hash by which the account is asked for."""
    if version == 2:
        made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 100_000, 32)
        return made[:16], encode(made[16:])
    raw = password.encode()
    parts = [raw[at : at + 16].ljust(16, b"\0") for at in range(0, len(raw), 16)]
    turns = [_blockwise(part).encryptor() for part in parts]
    key = _V1_START
    for _ in range(65536):
        for turn in turns:
            key = turn.update(key)
    return key, _email_hash(key, email)


def _email_hash(key: bytes, email: str) -> str:
    """Give a version 1 account's hash."""
    raw = email.encode()
    folded = _ZERO
    for at in range(0, len(raw), 16):
        folded = xor(folded, raw[at : at + 16].ljust(16, b"\0"))
    turn = _blockwise(key).encryptor()
    for _ in range(16384):
        folded = turn.update(folded)
    return encode(folded[:4] + folded[8:12])


def totp(secret: str, now_s: float) -> str:
    """Give the six digits of a moment. Source: RFC 6238."""
    key = base64.b32decode(secret.upper() + "=" * (-len(secret) % 8))
    digest = hmac.digest(key, struct.pack(">Q", int(now_s) // 30), "sha1")
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


# --- numbers -------------------------------------------------------------------------------------------------------


def mpi(number: int) -> bytes:
    """Write a number with its length in bits before it."""
    return struct.pack(">H", number.bit_length()) + number.to_bytes((number.bit_length() + 7) // 8, "big")


# --- hashcash ------------------------------------------------------------------------------------------------------


def hashcash_is_solved(token: str, prefix: str, easiness: int) -> bool:
    """Tell whether a prefix solves a challenge. Hashes 12 MiB."""
    digest = hashlib.sha256(decode(prefix))
    block = decode(token) * 4096
    for _ in range(64):
        digest.update(block)
    threshold = (((easiness & 63) << 1) + 1) << ((easiness >> 6) * 7 + 3)
    return len(decode(prefix)) == 4 and int.from_bytes(digest.digest()[:4], "big") <= threshold


# --- files ---------------------------------------------------------------------------------------------------------


def chunks(size: int) -> Iterator[tuple[int, int]]:
    """Give each chunk's offset and length: 128 KiB, 256 KiB … 1 MiB, then 1 MiB each; the last one is shorter."""
    at, step = 0, 1 << 17
    while at < size:
        yield at, min(step, size - at)
        at += step
        step = min(step + (1 << 17), 1 << 20)


class Mac:
    """The check over a file's plain bytes, told chunk by chunk in their order."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._key = key
        self._nonce = nonce
        self._folded = _ZERO

    def add(self, plain: bytes) -> None:
        """Take one chunk, as `chunks` cuts them."""
        padded = plain + bytes(-len(plain) % 16)
        one = cbc(self._key, padded, iv=self._nonce * 2)[-16:]
        self._folded = ecb(self._key, xor(self._folded, one))

    def meta(self) -> bytes:
        """Give the eight bytes that stand in a file's key."""
        folded = self._folded
        return xor(folded[0:4], folded[4:8]) + xor(folded[8:12], folded[12:16])


def unpack(node_key: bytes) -> tuple[bytes, bytes, bytes]:
    """Give a file key's AES key, nonce and MAC."""
    return xor(node_key[:16], node_key[16:]), node_key[16:24], node_key[24:]


def attributes(key: bytes, text: str) -> dict[str, Any]:
    """Decrypt a node's attributes. Raises ValueError."""
    plain = cbc(key, decode(text), back=True)
    if not plain.startswith(b'MEGA{"'):
        raise ValueError("attributes don't begin as they must")
    told = json.loads(plain[4:].rstrip(b"\0").decode())
    if not isinstance(told.get("n"), str) or not told["n"]:
        raise ValueError("attributes without a name")
    return dict(told)


def folded(piece: bytes, crc: int = 0) -> int:
    """XOR a piece, in steps of twelve bytes, into what the pieces before it gave.

    All pieces but the last are a multiple of twelve bytes.
    """
    while len(piece) > _CRC_BYTES:
        half = (-(-len(piece) // _CRC_BYTES) + 1) // 2 * _CRC_BYTES
        second = int.from_bytes(piece[half:].ljust(half, b"\0"), "big")
        piece = (int.from_bytes(piece[:half], "big") ^ second).to_bytes(half, "big")
    return crc ^ int.from_bytes(piece.ljust(_CRC_BYTES, b"\0"), "big")
