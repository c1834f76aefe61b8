"""Refuse to start where a served folder would publish the data folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from carryall.config.fields import SettingsError
from carryall.config.settings import Settings


def check_folders(settings: Settings) -> None:
    """Make sure that nothing of the data folder can be reached through the folder that is served.

    Only CARRYALL_WEB_DIR is served as a folder. The folders that described systems name (UPLOAD_FOLDER and the like)
    are never served, so they may contain the data folder or be it.

    Raises:
        SettingsError: the folders overlap, a link leads out of the served one, or one of them is no folder.
    """
    problems = []
    if settings.data_dir.exists() and not settings.data_dir.is_dir():
        problems.append(f"CARRYALL_DATA_DIR is {str(settings.data_dir)!r}: it must be a folder, and that is a file.")
    if settings.web_dir is not None:
        problems += _of_web(settings.web_dir, settings.data_dir)
    if problems:
        raise SettingsError(problems)


def _of_web(web: Path, data: Path) -> list[str]:
    called = f"CARRYALL_WEB_DIR is {str(web)!r}"
    if not web.is_dir():
        return [f"{called}: it must be a folder that exists."]
    if _contains(web, data) or _contains(data, web):
        return [f"{called}: one of it and the data folder contains the other; they must be apart."]
    for path in _walk(web):
        if path.is_symlink() and not path.resolve().is_relative_to(web):
            return [f"{called}: {str(path.relative_to(web))!r} in it is a link that leads out of it; remove the link."]
    return []


def _contains(outer: Path, inner: Path) -> bool:
    """Tell whether inner is outer or lies in it; by the folders' identity, because names can differ in case."""
    return any(path == outer or _same(path, outer) for path in (inner, *inner.parents))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them isn't there yet
        return False


def _walk(web: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(web):
        yield from (Path(folder, name) for name in folders + files)
