"""The server refuses to start where a served folder would publish the data folder."""

from pathlib import Path

import pytest

from carryall.config import Settings, SettingsError, check_folders, load_settings
from carryall.config.notices import FOLDER_HINTS


def settings(data: Path, web: Path | None = None, **environ: str) -> Settings:
    """Load with these two folders."""
    return load_settings(environ, None, data_dir=data, web_dir=web)


def refused(data: Path, web: Path, reason: str) -> None:
    """Expect that these folders are refused for this reason."""
    with pytest.raises(SettingsError, match=reason):
        check_folders(settings(data, web))


def test_folders_that_are_apart_are_fine(tmp_path: Path) -> None:
    """A data folder that isn't there yet, one that is, and a web folder beside it."""
    (tmp_path / "web" / "img").mkdir(parents=True)
    (tmp_path / "web" / "index.html").write_text("hello")
    (tmp_path / "web" / "start").symlink_to("index.html")

    check_folders(settings(tmp_path / "data"))
    check_folders(settings(tmp_path / "data", tmp_path / "web"))
    (tmp_path / "data").mkdir()
    check_folders(settings(tmp_path / "data", tmp_path / "web"))
    check_folders(settings(tmp_path / "web-data", tmp_path / "web"))


def test_the_data_folder_is_no_file(tmp_path: Path) -> None:
    """A file in its place is told before anything is written."""
    (tmp_path / "data").write_text("")

    with pytest.raises(SettingsError, match="it must be a folder, and that is a file"):
        check_folders(settings(tmp_path / "data"))


@pytest.mark.parametrize(
    ("data", "web"), [("x", "x"), ("x/data", "x"), ("x/a/b/data", "x"), ("x", "x/web"), ("x", "x/files")]
)
def test_neither_folder_contains_the_other(tmp_path: Path, data: str, web: str) -> None:
    """Equal, inside, outside: refused, whether or not the data folder is there (collision 8)."""
    (tmp_path / web).mkdir(parents=True)

    refused(tmp_path / data, tmp_path / web, "contains the other; they must be apart")
    (tmp_path / data).mkdir(parents=True, exist_ok=True)
    refused(tmp_path / data, tmp_path / web, "contains the other; they must be apart")


def test_a_link_to_the_folder_is_the_folder(tmp_path: Path) -> None:
    """Names don't hide that two paths are one place."""
    (tmp_path / "real" / "data").mkdir(parents=True)
    (tmp_path / "web").symlink_to(tmp_path / "real")

    refused(tmp_path / "real" / "data", tmp_path / "web", "contains the other")
    (tmp_path / "alias").symlink_to(tmp_path / "real" / "data")
    refused(tmp_path / "alias", tmp_path / "real", "contains the other")


@pytest.mark.parametrize("target", ["data", "data/catalog.db", "", "elsewhere"])
def test_no_link_leads_out_of_the_web_folder(tmp_path: Path, target: str) -> None:
    """A link to the data folder, into it, around it, or to a place from which another link may lead there."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "catalog.db").write_text("")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "web" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "web" / "deep" / "er" / "link").symlink_to(tmp_path / target)

    refused(tmp_path / "data", tmp_path / "web", "'deep/er/link' in it is a link that leads out of it")


def test_the_web_folder_must_be_there(tmp_path: Path) -> None:
    """A name that is no folder is a mistake."""
    refused(tmp_path / "data", tmp_path / "none", "it must be a folder that exists")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "data", tmp_path / "file", "it must be a folder that exists")


def test_folder_hints_are_no_reason_to_refuse(tmp_path: Path) -> None:
    """The described systems' folders are never served, so the data folder may be in them, or be one."""
    for hint in (tmp_path, tmp_path / "data"):
        check_folders(settings(tmp_path / "data", **dict.fromkeys(FOLDER_HINTS, str(hint))))


def other_disk(data: Path, root: Path, web: Path | None = None) -> Settings:
    """Load with a second local store."""
    return settings(data, web, CARRYALL_STORE_DISK2_KIND="local", CARRYALL_STORE_DISK2_ROOT=str(root))


def test_a_store_s_folder_is_apart(tmp_path: Path) -> None:
    """It neither contains the data folder, the served one or another store's, nor lies in one of them."""
    (tmp_path / "web").mkdir()
    check_folders(other_disk(tmp_path / "data", tmp_path / "disk2", tmp_path / "web"))

    for root in ("data", "data/disk2", "", "web", "web/disk2"):
        with pytest.raises(
            SettingsError, match=r"CARRYALL_STORE_DISK2_ROOT is .* contains the other; they must be apart"
        ):
            check_folders(other_disk(tmp_path / "data", tmp_path / root, tmp_path / "web"))
    twice = {"CARRYALL_STORE_DISK3_KIND": "local", "CARRYALL_STORE_DISK3_ROOT": str(tmp_path / "disk2" / "x")}
    second = {"CARRYALL_STORE_DISK2_KIND": "local", "CARRYALL_STORE_DISK2_ROOT": str(tmp_path / "disk2")}
    with pytest.raises(SettingsError, match="the folder of store disk2 contains the other"):
        check_folders(settings(tmp_path / "data", **second, **twice))


def test_a_store_s_folder_is_ours_alone(tmp_path: Path) -> None:
    """What a store made, and what a new disk has, is fine; anything else might be swept, so it is refused."""
    root = tmp_path / "disk2"
    for name in ("00", "ff", "lost+found"):
        (root / name).mkdir(parents=True)
    check_folders(other_disk(tmp_path / "data", root))

    (root / "holiday.jpg").write_text("")
    with pytest.raises(SettingsError, match=r"'holiday.jpg' is in it; name a folder that is empty"):
        check_folders(other_disk(tmp_path / "data", root))
    with pytest.raises(SettingsError, match="it must be a folder, and that is a file"):
        check_folders(other_disk(tmp_path / "data", root / "holiday.jpg"))
