"""Settings: the one frozen object that says how this server is to run."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

from pydantic import PrivateAttr, model_validator

from carryall.config.fields import DEFAULT, Described, Row, describe, shown
from carryall.config.keeping import Delivery, Durability, Safety
from carryall.config.stores import BUILT_IN, StoreSettings
from carryall.config.topics import TOPICS, Gallery, Limits, Notifications, OtherTokens, Server, SignIn

SETTINGS: tuple[Described, ...] = tuple(one for topic in TOPICS for one in describe(topic))
"""Every setting, in the order of the documents."""


class Settings(Server, SignIn, Limits, Gallery, OtherTokens, Notifications, Safety, Durability, Delivery):
    """How this server is to run. Built once, by `load_settings`; never changed afterwards.

    Sizes are set in MiB (1024 * 1024 bytes) or KiB and read as whole bytes through the `…_bytes` attributes.
    Paths are absolute and free of links. Secrets that nobody set are None until `ensure_secrets`.
    """

    _sources: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _notices: tuple[str, ...] = PrivateAttr(default=())
    _stores: Mapping[str, StoreSettings] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        problems = contradictions({name: getattr(self, name) for name in self.model_fields_set})
        if problems:
            raise ValueError(" ".join(problems))
        return self

    @property
    def docs_enabled(self) -> bool:
        """True where the interactive API pages are served."""
        return self.environment != "production" if self.docs is None else self.docs

    @property
    def stores(self) -> Mapping[str, StoreSettings]:
        """The named stores, in the order in which they are named; the built-in one, local, is not among them."""
        return MappingProxyType(dict(self._stores))

    @property
    def store_names(self) -> tuple[str, ...]:
        """The stores that files can be sent to: the built-in one first."""
        return (BUILT_IN, *self._stores)

    @property
    def notices(self) -> tuple[str, ...]:
        """What the person who starts the server should know: names without effect, risks that were chosen."""
        return self._notices

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value that isn't the default comes from, by name: env, .env, "alias PORT in .env", argument."""
        return MappingProxyType(dict(self._sources))

    def remembering(self, *, sources: Mapping[str, str], notices: tuple[str, ...]) -> "Settings":
        """Return the same settings with what is known about where they come from."""
        copy = self.model_copy()
        copy._sources = dict(sources)  # noqa: SLF001  a copy of our own
        copy._notices = notices  # noqa: SLF001  the same
        return copy

    def storing(self, stores: Mapping[str, StoreSettings]) -> "Settings":
        """Return the same settings with these named stores."""
        copy = self.model_copy()
        copy._stores = dict(stores)  # noqa: SLF001  a copy of our own
        return copy

    def supplied(self, values: Mapping[str, str], *, source: str) -> "Settings":
        """Return the settings with these values, which must have been checked, in place of their own."""
        copy = self.model_copy(update=dict(values))
        return copy.remembering(sources={**self._sources, **dict.fromkeys(values, source)}, notices=self._notices)

    def redacted(self) -> list[Row]:
        """Return every setting for people to look at, without secrets; those of the named stores last."""
        own = [
            Row(one.name, one.env, shown(one, getattr(self, one.name)), self._sources.get(one.name, DEFAULT))
            for one in SETTINGS
        ]
        return own + [row for store in self._stores.values() for row in store.redacted()]


def contradictions(given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with values that are right one by one. `given` holds what was set; None counts as unset."""
    present = {name for name, value in given.items() if value is not None}
    problems = []
    if present & {"jwt_public_key", "jwt_public_key_file", "jwks_url"}:
        problems += [
            f"CARRYALL_{name.upper()} (or EXPECTED_{name.upper()}) is not set, but a key for tokens of another service "
            f"is; set it to the {claim} that those tokens carry."
            for name, claim in (("jwt_issuer", "iss"), ("jwt_audience", "aud"))
            if name not in present
        ]
    if "admin_token" in present and given["admin_token"] == given.get("service_token"):
        problems.append(
            "CARRYALL_ADMIN_TOKEN and CARRYALL_SERVICE_TOKEN (or AUTH_TOKEN) are the same, so every service would be "
            "an administrator; they must differ."
        )
    return problems
