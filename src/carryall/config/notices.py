"""What the person who starts the server should know: names that have no effect, risks that were chosen."""

import ipaddress
from collections.abc import Container, Iterable
from typing import Final

from carryall.config.settings import Settings

FOLDER_HINTS: Final = (
    "BASE_FOLDER",
    "UPLOAD_FOLDER",
    "LOCAL_TEMP_CHUNK_PATH",
    "TEMP_UPLOAD_DIR",
    "PERSISTENT_LOCAL_STORAGE_PATH",
)
"""Folders of the described systems. They are hints at most (decision 20)."""

MISSPELT: Final = "REQUEST_TIMES_PER_MINTUE"


def of_names(names: Container[str]) -> list[str]:
    """Return what is to be said about names that were set and that Carryall doesn't follow as one might expect."""
    said = []
    if "DATABASE_URL" in names:
        said.append(
            "DATABASE_URL is ignored: the catalog is a database of Carryall's own, in the data folder or in the "
            "PostgreSQL of CARRYALL_DATABASE_URL, and another system's tables can't be used."
        )
    if "CACHE_TTL" in names:
        said.append("CACHE_TTL has no effect: answers are never taken from a cache that could be stale.")
    if MISSPELT in names:
        said.append(f"{MISSPELT} is read as it is spelled; its name here is CARRYALL_USER_REQUESTS_PER_MINUTE.")
    if hints := _listing(FOLDER_HINTS, names):
        said.append(
            f"Neither served nor needed: {hints}. Everything is kept in the data folder; "
            "set CARRYALL_DATA_DIR to choose where."
        )
    return said


def _listing(wanted: Iterable[str], names: Container[str]) -> str:
    return ", ".join(name for name in wanted if name in names)


def of_values(settings: Settings) -> list[str]:
    """Return what is to be said about values that are allowed and that somebody may regret."""
    said = []
    if settings.reload:
        said.append("CARRYALL_RELOAD is on: the server starts again when its code changes. That is for development.")
    if settings.gallery_anonymous and not _is_private_to_this_machine(settings.host):
        said.append(
            f"The server listens on {settings.host}, and the gallery takes images from everybody who can reach it, "
            "without a token. Set CARRYALL_GALLERY_ANONYMOUS=false to ask for one."
        )
    if settings.webhook_url is not None and settings.base_url is None:
        said.append(
            "CARRYALL_WEBHOOK_URL is set and CARRYALL_BASE_URL isn't: the URLs in notifications name this machine's "
            "own address. Set CARRYALL_BASE_URL to the address that the main service reaches."
        )
    return said


def _is_private_to_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
