"""Settings: every field once, typed, with unit and default; read once, at the start."""

from carryall.config.documents import env_example, settings_table
from carryall.config.fields import Described, Row, SettingsError
from carryall.config.folders import check_folders
from carryall.config.loading import load_settings
from carryall.config.secrets_store import Generated, ensure_secrets
from carryall.config.settings import SETTINGS, Settings
from carryall.config.stores import Bucket, LocalFolder, MegaAccount, RcloneRemote, StoreSettings

__all__ = [
    "SETTINGS",
    "Bucket",
    "Described",
    "Generated",
    "LocalFolder",
    "MegaAccount",
    "RcloneRemote",
    "Row",
    "Settings",
    "SettingsError",
    "StoreSettings",
    "check_folders",
    "ensure_secrets",
    "env_example",
    "load_settings",
    "settings_table",
]
