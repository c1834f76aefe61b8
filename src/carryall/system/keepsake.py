"""A keepsake as one encrypted file, beside the other secrets in the data folder."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from carryall.model.errors import Unavailable

_FORM = b"keepsake 1\n"
_NONCE_BYTES = 12
_LARGEST_BYTES = 1 << 20
_LOOK_S = 0.05
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none; links there need a privilege to be made
_BINARY = getattr(os, "O_BINARY", 0)


class FileKeepsake:
    """Implements `ports.keepsake.Keepsake`: `folder/<name>.keepsake`, AES-256-GCM, mode 0600."""

    def __init__(self, folder: Path, name: str, secret_key: str) -> None:
        """Take the secrets folder, a name that may stand in a file's, and the server's secret key.

        The key of the encryption is derived for this name alone, so another name's file can't take its place.
        """
        self._path = folder / f"{name}.keepsake"
        self._lock = folder / f"{name}.keepsake.lock"
        derived = HKDF(SHA256(), 32, salt=None, info=b"carryall keepsake " + name.encode()).derive(secret_key.encode())
        self._cipher = AESGCM(derived)

    async def load(self) -> bytes | None:
        """Give what was saved last."""
        return await asyncio.to_thread(self._load)

    async def save(self, content: bytes | None) -> None:
        """Keep this instead."""
        try:
            await asyncio.to_thread(self._save, content)
        except OSError as error:
            raise Unavailable("The secrets folder can't be written.") from error

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Be alone with it; the kernel takes the lock back from a process that ends."""
        try:
            self._prepare()
            fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | _NO_FOLLOW, 0o600)
        except OSError as error:
            raise Unavailable("The secrets folder can't be written.") from error
        try:
            while not _taken(fd):  # noqa: ASYNC110  # other processes set no event
                await asyncio.sleep(_LOOK_S)
            yield
        finally:
            os.close(fd)

    def _prepare(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _load(self) -> bytes | None:
        try:
            with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | _NO_FOLLOW | _BINARY), "rb") as file:
                found = file.read(_LARGEST_BYTES)
        except OSError:
            return None
        nonce, sealed = found[len(_FORM) :][:_NONCE_BYTES], found[len(_FORM) + _NONCE_BYTES :]
        with suppress(InvalidTag, ValueError):
            return self._cipher.decrypt(nonce, sealed, _FORM) if found.startswith(_FORM) else None
        return None

    def _save(self, content: bytes | None) -> None:
        self._prepare()
        if content is None:
            self._path.unlink(missing_ok=True)
        else:
            nonce = secrets.token_bytes(_NONCE_BYTES)
            self._replace(_FORM + nonce + self._cipher.encrypt(nonce, content, _FORM))
        _sync(self._path.parent)

    def _replace(self, content: bytes) -> None:
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | _NO_FOLLOW | _BINARY
        try:
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    if os.name != "posix":  # Windows can't open a folder; its file system journals names by itself
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


if os.name == "nt":
    import msvcrt

    def _taken(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

else:
    import fcntl

    def _taken(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
