"""What every command does first: read the settings, see to the secrets, and open the house where it uses a verb."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from carryall.cli.screen import say
from carryall.config import Generated, Settings, check_folders, ensure_secrets, load_settings
from carryall.model.errors import CarryallError

if TYPE_CHECKING:
    from carryall.wiring import House

T = TypeVar("T")

_SHOWN_ONCE = {"admin_token": "admin token", "service_token": "service token (AUTH_TOKEN)"}


def prepared_settings(**overrides: Any) -> tuple[Settings, list[Generated]]:
    """Give the settings with every secret, and the secrets that are kept in the data folder.

    Prints the tokens that were made just now: once, here, and never again. Raises SettingsError.
    """
    settings = load_settings(**overrides)
    check_folders(settings)
    settings, kept = ensure_secrets(settings, settings.data_dir / "secrets")
    for secret in kept:
        if secret.is_new and secret.name in _SHOWN_ONCE:
            say(f"{_SHOWN_ONCE[secret.name]}: {secret.value}   (kept in {secret.path}; shown once)")
    return settings, kept


def say_notices(settings: Settings) -> None:
    """Say what the person should know about the settings."""
    for notice in settings.notices:
        say(f"note: {notice}")


def is_watched(settings: Settings) -> bool:
    """Tell whether a person reads standard error; elsewhere it is a log, in which every line is a log line."""
    return sys.stderr.isatty() and settings.log_format != "json"


def require_data() -> None:
    """Refuse where no data is, and make none: a command that looks for something was given the wrong folder."""
    from carryall.wiring import catalog_path

    settings = load_settings()
    first_made = settings.data_dir / "files" if settings.database_url else catalog_path(settings)
    if not first_made.exists():
        raise CarryallError(
            f"There is no Carryall data in {settings.data_dir} yet. `carryall serve` makes it; if it is elsewhere, set "
            "CARRYALL_DATA_DIR, or go to the folder that it is in.",
            code="data_folder_empty",
        )


def in_house(work: Callable[["House"], Awaitable[T]], *, may_begin: bool = False) -> T:
    """Run one verb on the data folder, also beside a running server; give what it gives.

    Args:
        may_begin: whether the command may make a data folder where there is none.
    """
    from carryall.wiring import build, start_logs

    if not may_begin:
        require_data()
    settings, _ = prepared_settings()
    # The command itself says what it did; what the verbs log at INFO would say it twice.
    start_logs(settings.supplied({"log_level": "WARNING"}, source="argument") if _is_chatty(settings) else settings)
    house = build(settings)

    async def opened() -> T:
        async with house.open():
            return await work(house)

    return asyncio.run(opened())


def _is_chatty(settings: Settings) -> bool:
    return settings.log_level == "INFO"
