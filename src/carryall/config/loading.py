"""Read the settings: from arguments, the environment and a .env file, in that order."""

import os
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from carryall.config import notices
from carryall.config.fields import DEFAULT, PREFIX, Described, SettingsError
from carryall.config.named_stores import Found, read_stores
from carryall.config.places import LONGEST_SHOWN, Given, Place, file_place, look_up, place_of, read_named_file, sentence
from carryall.config.settings import SETTINGS, Settings, contradictions
from carryall.config.stores import BUILT_IN, NAME
from carryall.model.errors import Malformed
from carryall.model.target import Target

RESERVED_PREFIX = "CARRYALL_TEST_"

_BY_NAME = {one.name: one for one in SETTINGS}
_KNOWN = frozenset(name for one in SETTINGS for name in one.names)
_OF_STORES = f"{PREFIX}STORE_"
_SENDING = ("target", "storage_backend", "relay_service")


def load_settings(
    environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env"), **overrides: Any
) -> Settings:
    """Return the settings, complete and checked.

    An override wins over the environment, the environment over the file, and within each of them the canonical name
    over the aliases. An empty text is not set, and so is an override of None. Names that aren't Carryall's are ignored.

    Args:
        environ: the environment; the process's own when None.
        env_file: a file of NAME=value lines; it need not exist. `${…}` stands for itself there.
        overrides: values by their Python names, as the command line gives them.

    Raises:
        SettingsError: something can't be used; it says everything that is wrong, not only the first.
    """
    problems: list[str] = []
    places = [place_of("env", (os.environ if environ is None else environ).items()), file_place(env_file, problems)]
    problems += [f"{place.call(name)} is no setting. {_nearest(name)}" for place, name in _unknown(places)]
    given, overlooked = _gather(places, overrides)
    problems += _read_key_file(given)
    targets = _targets(given)
    found = read_stores(places, {store for target in targets.values() for store in target.stores})
    problems += found.problems + _lost_stores(given, targets, found)
    settings = _checked(given, problems).storing(found.stores)
    said = overlooked + found.notices + notices.of_names({name for place in places for name in place.values})
    sources = {name: one.source for name, one in given.items()}
    return settings.remembering(sources=sources, notices=(*said, *notices.of_values(settings)))


def _unknown(places: Sequence[Place]) -> list[tuple[Place, str]]:
    return [
        (place, name)
        for place in places
        for name in sorted(place.names - _KNOWN)
        if name.upper().startswith(PREFIX) and not name.startswith(RESERVED_PREFIX) and not NAME.fullmatch(name)
    ]


def _nearest(name: str) -> str:
    """Name the setting that was probably meant; by its other names too, so CARRYALL_AUTH_TOKEN finds its way."""
    if name.upper().startswith(_OF_STORES):
        return f"Settings of stores look like {_OF_STORES}PHOTOS_KIND: up to 24 letters and digits, then the option."

    def likeness(one: Described) -> float:
        asked = name.upper().removeprefix(PREFIX)
        return max(SequenceMatcher(None, asked, known.removeprefix(PREFIX)).ratio() for known in one.names)

    return f"The nearest one is {max(SETTINGS, key=likeness).env}."


def _gather(places: Sequence[Place], overrides: Mapping[str, Any]) -> tuple[dict[str, Given], list[str]]:
    """Return what was given, by setting, and a sentence on each name that another one of the same place beat."""
    given: dict[str, Given] = {}
    overlooked: list[str] = []
    for one in SETTINGS:
        if overrides.get(one.name) not in (None, ""):
            flag = "--" + one.name.replace("_", "-")
            given[one.name] = Given(overrides[one.name], flag, "argument")
            continue
        found, said = look_up(one, places)
        overlooked += said
        if found is not None:
            given[one.name] = found
    strange = sorted(overrides.keys() - _BY_NAME.keys())
    if strange:
        raise SettingsError(f"{name} is no setting. {_nearest(name)}" for name in strange)
    return given, overlooked


def _read_key_file(given: dict[str, Given]) -> list[str]:
    """Put the text of the key file in place of the key, and return what is wrong with it."""
    named = given.get("jwt_public_key_file")
    if named is None:
        return []
    if "jwt_public_key" in given:
        return [f"{given['jwt_public_key'].called} and {named.called} are both set; set one of them."]
    text, problem = read_named_file(named, "a PEM file")
    if problem is not None:
        return [problem]
    given["jwt_public_key"] = Given(text, f"The file that {named.called} names", named.source)
    return []


def _targets(given: Mapping[str, Given]) -> dict[str, Target]:
    """Return where files are sent to, by setting; what can't be read is told later, with the other wrong values."""
    targets = {}
    for name in _SENDING:
        try:
            targets[name] = Target.parse(str(given[name].value)) if name in given else Target.of(BUILT_IN)
        except Malformed:
            continue
    return targets


def _lost_stores(given: Mapping[str, Given], targets: Mapping[str, Target], found: Found) -> list[str]:
    """Return a sentence on each setting that sends files to a store that isn't there."""
    if found.problems:  # what is wrong with the stores themselves is told already
        return []
    known = [BUILT_IN, *found.stores]
    return [
        f"{given[name].called} is {str(given[name].value)[:LONGEST_SHOWN]!r}: no store {store} is set up. "
        f"There is {', '.join(known)}; {_HINTS.get(store, f'set {_OF_STORES}{store.upper()}_KIND to make one')}."
        for name, target in targets.items()
        for store in target.stores
        if store not in known
    ]


_HINTS = {
    "s3": "set S3_BUCKET_NAME, S3_ACCESS_KEY and S3_SECRET_KEY to make it",
    "mega": "set MEGA_EMAIL and MEGA_PASSWORD to make it",
}


def _checked(given: Mapping[str, Given], problems: Sequence[str]) -> Settings:
    """Build the settings, or raise one SettingsError with these problems and all others."""
    values = {name: one.value for name, one in given.items()}
    problems = [*problems, *contradictions(values)]
    try:
        settings = Settings(**values)
    except ValidationError as exc:
        own = {str(error["loc"][0]): error for error in exc.errors() if error["loc"]}
        wrong = {name: given.get(name, Given(one.default, one.env, DEFAULT)) for name, one in _BY_NAME.items()}
        said = [sentence(one, wrong[name], own[name]) for name, one in _BY_NAME.items() if name in own]
        raise SettingsError([*problems, *said]) from exc
    if problems:
        raise SettingsError(problems)
    return settings
