"""Named stores are made of their settings, and of nothing that isn't needed."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from carryall.config import Bucket, LocalFolder, MegaAccount, RcloneRemote, StoreSettings, load_settings
from carryall.config.stores import KINDS, StoreOptions, described
from carryall.stores.local import LocalStore
from carryall.stores.mega.options import MegaOptions
from carryall.stores.rclone.options import RcloneOptions
from carryall.stores.s3.options import S3Options
from carryall.testing.fakes import CollectingTelemetry
from carryall.wiring import stores
from carryall.wiring.stores import named_stores, prepare

WITHOUT_A_SETTING = {"environment"}  # rclone's own variables are set in Carryall's environment


@pytest.mark.parametrize(
    ("kind", "options"), [(Bucket, S3Options), (MegaAccount, MegaOptions), (RcloneRemote, RcloneOptions)]
)
def test_every_option_has_its_setting(kind: type[StoreOptions], options: type[Any]) -> None:
    """A store's options and the settings of its kind are the same, sizes in bytes here and in MiB there."""
    of_store = {one.name for one in fields(options)} - WITHOUT_A_SETTING
    of_settings = {one.name.replace("_mb", "_bytes") for one in described("x", kind)}

    assert of_store == of_settings
    for one in fields(options):
        if isinstance(one.default, int | str):
            assert one.default == getattr(kind.model_construct(), one.name), one.name


def test_each_kind_is_made(tmp_path: Path) -> None:
    """The stores have their names, in their order, and options as they were set."""
    settings = load_settings(
        {
            "CARRYALL_STORE_A_KIND": "s3", "CARRYALL_STORE_A_BUCKET": "abc", "CARRYALL_STORE_A_PART_MB": "9",
            "CARRYALL_STORE_B_KIND": "mega", "CARRYALL_STORE_B_EMAIL": "a@b", "CARRYALL_STORE_B_PASSWORD": "x",
            "CARRYALL_STORE_C_KIND": "rclone", "CARRYALL_STORE_C_REMOTE": "drive:x",
            "CARRYALL_STORE_D_KIND": "local", "CARRYALL_STORE_D_ROOT": str(tmp_path / "d"),
        },
        None,
        data_dir=tmp_path / "data",
    )  # fmt: skip

    made = named_stores(settings, CollectingTelemetry())

    assert ["a", "b", "c", "d"] == list(made) == [store.name for store in made.values()]
    assert {one.kind for one in settings.stores.values()} == KINDS.keys()
    assert isinstance(made["d"], LocalStore)
    prepare(made.values())
    assert (tmp_path / "d").is_dir()
    assert not (tmp_path / "data").exists()


def test_sizes_arrive_in_bytes() -> None:
    """What is set in MiB is told in bytes; what isn't set keeps its default."""
    told = stores._told(S3Options, Bucket(bucket="abc", part_mb=9, secret_key="hush", access_key="AKIA"))

    assert told == S3Options(bucket="abc", part_bytes=9 << 20, secret_key="hush", access_key="AKIA")


def test_a_folder_that_cannot_be_made_stops_nothing() -> None:
    """It is told when the store is asked."""
    settings = load_settings({}, None).storing({"x": StoreSettings("x", LocalFolder(root=Path("/proc/carryall")))})

    prepare(named_stores(settings, CollectingTelemetry()).values())


def test_what_is_not_needed_is_not_loaded() -> None:
    """A server without such stores loads neither botocore nor the other stores."""
    code = "import sys, carryall.wiring; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()

    assert "carryall.stores.local" in loaded
    assert not [name for name in loaded if name.startswith(("botocore", "carryall.stores.s3", "carryall.stores.mega"))]
    assert "carryall.stores.rclone" not in loaded
