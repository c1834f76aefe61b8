"""What makes bytes, names and keys unreadable for MEGA: AES in its several modes, and the packing of keys.

Written after MEGA's own client (meganz/sdk); where other clients differ from it, it is right.
"""

import base64
import json
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

BLOCK_BYTES = 16
LARGEST_CHUNK_BYTES = 1 << 20
_CHUNK_STEP_BYTES = 128 << 10
_ZEROS = bytes(BLOCK_BYTES)


@dataclass(frozen=True, slots=True)
class FileKey:
    """What a file is encrypted with.

    Attributes:
        key: 16 bytes for AES-128.
        nonce: 8 bytes; the first half of the counter's blocks.
        mac: 8 bytes, the "meta-MAC" over the whole plain file.
    """

    key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    mac: bytes = bytes(8)

    def packed(self) -> bytes:
        """Give the 32 bytes that stand in links and, encrypted, at the node."""
        tail = self.nonce + self.mac
        return xor(self.key, tail) + tail

    @classmethod
    def unpacked(cls, packed: bytes) -> "FileKey":
        """Take the 32 bytes apart. Raises ValueError for any other number of bytes."""
        if len(packed) != 32:
            raise ValueError("a file's key has 32 bytes")
        tail = packed[16:]
        return cls(key=xor(packed[:16], tail), nonce=tail[:8], mac=tail[8:])


def b64encode(content: bytes) -> str:
    """Give base64 with the URL-safe alphabet and without padding, as everywhere at MEGA."""
    return base64.urlsafe_b64encode(content).decode("ascii").rstrip("=")


def b64decode(text: str) -> bytes:
    """Turn it back; both alphabets, padding or none. Raises ValueError."""
    try:
        bare = text.rstrip("=").replace("+", "-").replace("/", "_").encode("ascii")
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, Base64Error) as error:
        raise ValueError("not base64") from error


def xor(one: bytes, other: bytes) -> bytes:
    """Give the exclusive or of two texts of the same length."""
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


def padded(content: bytes) -> bytes:
    """Fill the last block up with zeros."""
    return content + bytes(-len(content) % BLOCK_BYTES)


def ecb(key: bytes) -> CipherContext:
    """Give AES-128 for single blocks: keys are encrypted with it, never content."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  # so are keys kept at MEGA


def ecb_encrypt(key: bytes, blocks: bytes) -> bytes:
    """Encrypt block by block."""
    return ecb(key).update(blocks)


def ecb_decrypt(key: bytes, blocks: bytes) -> bytes:
    """Decrypt block by block. Raises ValueError for a part of a block."""
    decryptor = Cipher(algorithms.AES(key), modes.ECB()).decryptor()  # noqa: S305  # so are keys kept at MEGA
    return decryptor.update(blocks) + decryptor.finalize()


def counter(key: FileKey, offset: int) -> CipherContext:
    """Give the AES-CTR stream from an offset that is a multiple of 16; it encrypts and decrypts alike."""
    start = key.nonce + (offset // BLOCK_BYTES).to_bytes(8, "big")
    return Cipher(algorithms.AES(key.key), modes.CTR(start)).encryptor()


def chunks(size: int) -> Iterator[tuple[int, int]]:
    """Give the canonical chunks, half-open: 128 KiB, then 128 KiB more each time until they have 1 MiB."""
    start, length = 0, _CHUNK_STEP_BYTES
    while start < size:
        stop = min(start + length, size)
        yield start, stop
        start, length = stop, min(length + _CHUNK_STEP_BYTES, LARGEST_CHUNK_BYTES)


def chunk_mac(key: FileKey, plain: bytes | memoryview) -> bytes:
    """Give the MAC of one canonical chunk: the last block of its CBC, filled up with zeros."""
    encryptor = Cipher(algorithms.AES(key.key), modes.CBC(key.nonce * 2)).encryptor()
    whole_blocks = encryptor.update(plain)
    rest = encryptor.update(bytes(-len(plain) % BLOCK_BYTES))
    return rest or whole_blocks[-BLOCK_BYTES:]


def file_mac(key: FileKey, chunk_macs: bytes) -> bytes:
    """Fold the MACs of all chunks, one after the other in their order, into the 8 bytes of the meta-MAC."""
    encryptor = Cipher(algorithms.AES(key.key), modes.CBC(_ZEROS)).encryptor()
    last = (_ZEROS + encryptor.update(chunk_macs))[-BLOCK_BYTES:]
    return xor(last[:4], last[4:8]) + xor(last[8:12], last[12:])


class PassingMac:
    """The meta-MAC of a file that streams by from its first byte."""

    def __init__(self, key: FileKey, size: int) -> None:
        self._key = key
        self._stops = chunks(size)
        self._macs = bytearray()
        self._last = b""
        self._begin_chunk()

    def add(self, plain: bytes) -> None:
        """Take the next bytes, however they are cut."""
        view, at = memoryview(plain), 0
        while at < len(view):
            piece = view[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            self._last = self._encryptor.update(piece)[-BLOCK_BYTES:] or self._last
            if not self._left:
                self._macs += self._encryptor.update(bytes(self._filling)) or self._last
                self._begin_chunk()

    def is_right(self) -> bool:
        """Tell whether the bytes were the ones of the key.

        megajs also counts an empty chunk behind a file that ends with a chunk; nobody can tell who uploaded a file.
        """
        known = {file_mac(self._key, bytes(self._macs)), file_mac(self._key, bytes(self._macs) + self._key.nonce * 2)}
        return self._key.mac in known

    def _begin_chunk(self) -> None:
        self._encryptor = Cipher(algorithms.AES(self._key.key), modes.CBC(self._key.nonce * 2)).encryptor()
        self._last = b""
        start, stop = next(self._stops, (0, 0))
        self._left = stop - start
        self._filling = -stop % BLOCK_BYTES


def sealed(attributes: dict[str, Any], key: bytes) -> str:
    """Encrypt a node's attributes, the name among them."""
    plain = b"MEGA" + json.dumps(attributes, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return b64encode(Cipher(algorithms.AES(key), modes.CBC(_ZEROS)).encryptor().update(padded(plain)))


def opened(text: str, key: bytes) -> dict[str, Any]:
    """Decrypt a node's attributes. Raises ValueError where the key isn't theirs."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(_ZEROS)).decryptor()
    plain = decryptor.update(b64decode(text)) + decryptor.finalize()
    if not plain.startswith(b'MEGA{"'):
        raise ValueError("not this node's key")
    attributes: dict[str, Any] = json.loads(plain[4:].rstrip(b"\0"))
    return attributes


def post_checksum(cipher: bytes | bytearray) -> bytes:
    """Give the 12 bytes that go along with posted bytes: all of them, exclusive-ored with a period of 12.

    Whole numbers of many bytes are what Python combines fastest: 0.4 ms for a MiB.
    """
    width = 12 << 10
    folded = 0
    for at in range(0, len(cipher), width):
        folded ^= int.from_bytes(cipher[at : at + width], "little")
    while width > 12:
        width //= 2
        folded = folded >> 8 * width ^ folded & (1 << 8 * width) - 1
    return folded.to_bytes(12, "little")
