"""What every command does first: read the settings, say what is wrong with them, see to the secrets."""

import sys
from typing import Any

from rich.console import Console

from carryall.config import Settings, SettingsError, check_folders, ensure_secrets, load_settings

console = Console(stderr=True, highlight=False)


def prepared_settings(**overrides: Any) -> Settings:
    """Read the settings, or say what is wrong with them and leave. Prints secrets that were made just now, once."""
    try:
        settings = load_settings(**overrides)
        check_folders(settings)
        settings, generated = ensure_secrets(settings, settings.data_dir / "secrets")
    except SettingsError as error:
        console.print(error.message, markup=False)
        sys.exit(2)
    for notice in settings.notices:
        console.print(f"note: {notice}", markup=False)
    for secret in generated:
        if secret.is_new and secret.name in ("admin_token", "service_token"):
            console.print(f"{secret.name}: {secret.value}   (kept in {secret.path}; shown once)", markup=False)
    return settings
