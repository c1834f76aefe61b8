"""Refuse to start where a served folder would publish the data folder, or two things would share one folder."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from carryall.config.fields import SettingsError
from carryall.config.settings import Settings
from carryall.config.stores import LocalFolder

_OURS = re.compile("[0-9a-f]{2}")  # what a local store makes in its folder
_DISKS_OWN = "lost+found"


def check_folders(settings: Settings) -> None:
    """Make sure that nothing of ours can be reached through the folder that is served, and that ours are apart.

    What a store's folder holds and no file needs is swept, so nobody else's things may be in it.

    Only CARRYALL_WEB_DIR is served as a folder. The folders that described systems name (UPLOAD_FOLDER and the like)
    are never served, so they may contain the data folder or be it.

    Raises:
        SettingsError: folders overlap, a link leads out of the served one, one of them is no folder, or a store's
            folder holds other things.
    """
    problems = []
    if settings.data_dir.exists() and not settings.data_dir.is_dir():
        problems.append(f"CARRYALL_DATA_DIR is {str(settings.data_dir)!r}: it must be a folder, and that is a file.")
    if settings.web_dir is not None:
        problems += _of_web(settings.web_dir, settings.data_dir)
    problems += _of_stores(settings)
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


def _of_stores(settings: Settings) -> list[str]:
    taken: list[tuple[str, Path]] = [("the data folder", settings.data_dir)]
    if settings.web_dir is not None:
        taken.append(("the folder that is served", settings.web_dir))
    problems = []
    for store in settings.stores.values():
        if isinstance(store.options, LocalFolder):
            called = f"{store.called['root']} is {str(store.options.root)!r}"
            problems += [f"{called}: {reason}" for reason in _of_root(store.options.root, taken)]
            taken.append((f"the folder of store {store.name}", store.options.root))
    return problems


def _of_root(root: Path, taken: Sequence[tuple[str, Path]]) -> list[str]:
    for whose, other in taken:
        if _contains(root, other) or _contains(other, root):
            return [f"one of it and {whose} contains the other; they must be apart."]
    try:
        strange = [path.name for path in root.iterdir() if not _is_ours(path)]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        return ["it must be a folder, and that is a file."]
    except OSError:  # a disk that is away, or somebody else's: the store says so when it is asked, and the rest serves
        return []
    return [f"{min(strange)!r} is in it; name a folder that is empty, or isn't there yet."] if strange else []


def _is_ours(path: Path) -> bool:
    return path.name == _DISKS_OWN or (_OURS.fullmatch(path.name) is not None and path.is_dir())


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
