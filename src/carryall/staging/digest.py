"""Digests by the algorithm names of RFC 9530, and tus' crc32."""

import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# RFC 9530 §5 names -> hashlib's. "sha" is SHA-1; it and md5 only detect transport faults (threat 29).
_NAMES = {"sha-256": "sha256", "sha-512": "sha512", "sha": "sha1", "md5": "md5"}
_READ_BYTES = 1 << 20


class _Crc32:
    """CRC-32 (ISO 3309) with hashlib's face; four bytes, most significant first, as tus clients send it."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _new(name: str) -> Any:
    return _Crc32() if name == "crc32" else hashlib.new(_NAMES[name], usedforsecurity=False)


class Digester:
    """Digests a stream by several algorithms at once."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes: dict[str, Any] = {name: _new(name) for name in algorithms if name in _NAMES or name == "crc32"}

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        for digest in self._hashes.values():
            digest.update(data)

    def hexadecimal(self) -> dict[str, str]:
        """Give the digests so far."""
        return {name: digest.hexdigest() for name, digest in self._hashes.items()}


def digest_file(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Digest a whole file; blocks, so it runs on a thread."""
    digester = Digester(algorithms)
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digester.update(chunk)
    return digester.hexadecimal()
