"""Settings: every field once, typed, with unit and default; read once, at the start."""

from carryall.config.documents import env_example, settings_table
from carryall.config.fields import Described, SettingsError
from carryall.config.folders import check_folders
from carryall.config.loading import load_settings
from carryall.config.secrets_store import Generated, ensure_secrets
from carryall.config.settings import SETTINGS, Row, Settings

__all__ = [
    "SETTINGS",
    "Described",
    "Generated",
    "Row",
    "Settings",
    "SettingsError",
    "check_folders",
    "ensure_secrets",
    "env_example",
    "load_settings",
    "settings_table",
]
