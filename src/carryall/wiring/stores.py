"""Settings -> the named stores. What a kind of store needs is imported where there is one of that kind."""

from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any, TypeVar

import structlog

from carryall.config import Bucket, LocalFolder, MegaAccount, Settings, StoreSettings
from carryall.model.principal import Plan
from carryall.ports.store import Store
from carryall.ports.telemetry import Telemetry
from carryall.stores.local import LocalStore
from carryall.stores.stack import Rules, stacked

log = structlog.get_logger(__name__)

Options = TypeVar("Options")

_MEGA_ASK_S = (
    150.0  # its own client repeats a command for two minutes, as MEGA's clients do, and then it has been tried
)


def named_stores(settings: Settings, telemetry: Telemetry) -> dict[str, Store]:
    """Make the named stores, in their wrappers. None of them asks anybody yet, so none of them stops a start."""
    return {
        name: stacked(_made(store, settings), _rules(store, settings), telemetry)
        for name, store in settings.stores.items()
    }


def prepare(stores: Iterable[Store]) -> None:
    """Make the folders of local stores. One that can't be made fails when it is asked, and the rest serves."""
    for store in stores:
        if isinstance(store, LocalStore):
            try:
                store.prepare()
            except OSError as error:
                log.warning("store.unprepared", store=store.name, reason=error.strerror)


def warn_of_plans(plans: Iterable[Plan], stores: Collection[str]) -> None:
    """Say which plans name stores that aren't in the settings any more: their users' uploads are refused until then."""
    for plan in plans:
        named = {*(plan.target.stores if plan.target else ()), *(plan.stores or ())}
        for store in sorted(named.difference(stores)):
            log.warning("plan.store_unknown", plan=plan.name, store=store)


def _rules(store: StoreSettings, settings: Settings) -> Rules:
    if store.kind == MegaAccount.kind:
        return Rules(tries=1, ask_s=_MEGA_ASK_S, puts_at_once=settings.deliveries_at_once)
    return Rules(puts_at_once=settings.deliveries_at_once)


def _made(store: StoreSettings, settings: Settings) -> Store:
    options = store.options
    if isinstance(options, LocalFolder):
        return LocalStore(store.name, options.root, is_durable=settings.durability == "full")
    if isinstance(options, Bucket):
        from carryall.stores.s3.options import S3Options
        from carryall.stores.s3.store import S3Store

        return S3Store(store.name, _told(S3Options, options))
    if isinstance(options, MegaAccount):
        from carryall.stores.mega.options import MegaOptions
        from carryall.stores.mega.store import MegaStore
        from carryall.system.keepsake import FileKeepsake

        keepsake = FileKeepsake(settings.data_dir / "secrets", store.name, settings.secret_key or "")
        return MegaStore(store.name, _told(MegaOptions, options), keepsake)
    from carryall.stores.rclone.options import RcloneOptions
    from carryall.stores.rclone.store import RcloneStore

    return RcloneStore(store.name, _told(RcloneOptions, options))


def _told(kind: type[Options], settings: Any) -> Options:
    """Give a store's options: each has the name of a setting; what has none keeps its default."""
    names = [one.name for one in fields(kind) if hasattr(settings, one.name)]  # type: ignore[arg-type]  # dataclasses
    return kind(**{name: getattr(settings, name) for name in names})
