"""Keep the secrets that nobody set: made once, readable by the server alone, the same after a restart."""

import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from carryall.config.fields import SettingsError
from carryall.config.settings import Settings
from carryall.config.values import signing_key, token

KEPT: dict[str, Callable[[str], str]] = {
    "service_token": token,
    "admin_token": token,
    "secret_key": signing_key,
    "webhook_secret": signing_key,
}
"""The secrets that are kept, each with what it must pass."""

SOURCE = "secrets folder"
LARGEST_SECRET_BYTES = 4096
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none; links there need a privilege to be made
_BINARY = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Generated:
    """A secret that this server made. Print `value` when `is_new`, and never again."""

    name: str
    path: Path
    value: str = field(repr=False)
    is_new: bool


def ensure_secrets(settings: Settings, folder: Path) -> tuple[Settings, list[Generated]]:
    """Return the settings with every secret that is needed, and those that are kept in the folder.

    A secret that is set stays as it is. The others are read from the folder or, the first time, made and written
    there: whole or not at all, durable before this returns, with mode 0600 in a folder of mode 0700. Of several
    processes that start at once, all get the same secret and one gets it as new.

    Raises:
        SettingsError: the folder or a secret in it can't be used.
    """
    names = [name for name in KEPT if getattr(settings, name) is None and _is_needed(name, settings)]
    if not names:
        return settings, []
    try:
        _prepare(folder)
        kept = [_keep(name, folder) for name in names]
        _sync(folder)
    except OSError as exc:
        raise SettingsError([f"The secrets can't be kept in the data folder: {exc.strerror}."]) from exc
    return settings.supplied({one.name: one.value for one in kept}, source=SOURCE), kept


def _is_needed(name: str, settings: Settings) -> bool:
    return name != "webhook_secret" or settings.webhook_url is not None


def _prepare(folder: Path) -> None:
    """Make the folder, and make sure that it is one, that it is no link, and that nobody else can look into it."""
    for path in (folder.parent, folder):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise SettingsError(["The secrets folder in the data folder is a link; it must be a folder."])
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
    _sync(folder.parent)


def _keep(name: str, folder: Path) -> Generated:
    path = folder / name
    try:
        return Generated(name, path, _read(path), is_new=False)
    except FileNotFoundError:
        pass
    value = secrets.token_urlsafe(32)
    if _create(path, value):
        return Generated(name, path, value, is_new=True)
    return Generated(name, path, _read(path), is_new=False)


def _create(path: Path, value: str) -> bool:
    """Write the file whole; return False when another process was faster. A link, unlike a rename, never replaces."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY
    with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
        file.write(value.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _read(path: Path) -> str:
    with os.fdopen(os.open(path, os.O_RDONLY | _NO_FOLLOW | _BINARY), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        text = file.read(LARGEST_SECRET_BYTES)
    if not stat.S_ISREG(mode):
        raise SettingsError([f"secrets/{path.name} in the data folder is no file; remove it and a new one is made."])
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        said = (
            f"secrets/{path.name} in the data folder can be read by others; chmod 600 it, or remove it for a new one."
        )
        raise SettingsError([said])
    try:
        return KEPT[path.name](text.decode("ascii").strip())
    except ValueError as exc:
        reason = "it is no ASCII text" if isinstance(exc, UnicodeDecodeError) else str(exc)
        raise SettingsError([f"secrets/{path.name} in the data folder can't be used: {reason}."]) from exc


def _sync(folder: Path) -> None:
    if os.name != "posix":  # Windows can't open a folder; its file system journals names by itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
