"""Read the settings: from arguments, the environment and a .env file, in that order."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from carryall.config import notices
from carryall.config.fields import PREFIX, Described, SettingsError
from carryall.config.settings import DEFAULT, MASK, SETTINGS, Settings, contradictions, shown

RESERVED_PREFIX = "CARRYALL_TEST_"
LARGEST_KEY_FILE_BYTES = 64 * 1024
LONGEST_SHOWN = 80

_BY_NAME = {one.name: one for one in SETTINGS}
_KNOWN = frozenset(name for one in SETTINGS for name in one.names)


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere that names were set. `label` is "env" or the file's name; `values` leaves out the empty ones."""

    label: str
    names: frozenset[str]
    values: Mapping[str, str]

    def call(self, name: str) -> str:
        """Return the name as a person would find it."""
        return name if self.label == "env" else f"{name} in {self.label}"


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody set: what they call it, and the source that `carryall settings` prints."""

    value: Any
    called: str
    source: str


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
    places = [_place("env", (os.environ if environ is None else environ).items()), _file_place(env_file, problems)]
    problems += [f"{place.call(name)} is no setting. {_nearest(name)}" for place, name in _unknown(places)]
    given, overlooked = _gather(places, overrides)
    problems += _read_key_file(given)
    settings = _checked(given, problems)
    said = overlooked + notices.of_names({name for place in places for name in place.values})
    sources = {name: one.source for name, one in given.items()}
    return settings.remembering(sources=sources, notices=(*said, *notices.of_values(settings)))


def _place(label: str, pairs: Iterable[tuple[str, str]]) -> Place:
    names, values = set(), {}
    for name, value in pairs:
        names.add(name)
        if value.strip():
            values[name] = value.strip()
    return Place(label, frozenset(names), values)


def _file_place(path: Path | None, problems: list[str]) -> Place:
    if path is None:
        return _place("", ())
    try:
        with path.open(encoding="utf-8-sig") as lines:
            bindings = list(parse_stream(lines))
    except FileNotFoundError:
        return _place(path.name, ())
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8 text"
        problems.append(f"{path.name} can't be read: {reason}.")
        return _place(path.name, ())
    problems += [
        f"Line {binding.original.line} of {path.name} can't be understood; it must look like NAME=value."
        for binding in bindings
        if binding.error
    ]
    return _place(path.name, [(binding.key, binding.value or "") for binding in bindings if binding.key])


def _unknown(places: Sequence[Place]) -> list[tuple[Place, str]]:
    return [
        (place, name)
        for place in places
        for name in sorted(place.names - _KNOWN)
        if name.upper().startswith(PREFIX) and not name.startswith(RESERVED_PREFIX)
    ]


def _nearest(name: str) -> str:
    """Name the setting that was probably meant; by its other names too, so CARRYALL_AUTH_TOKEN finds its way."""

    def likeness(one: Described) -> float:
        asked = name.upper().removeprefix(PREFIX)
        return max(SequenceMatcher(None, asked, known.removeprefix(PREFIX)).ratio() for known in one.names)

    return f"The nearest one is {max(SETTINGS, key=likeness).env}."


def _gather(places: Sequence[Place], overrides: Mapping[str, Any]) -> tuple[dict[str, Given], list[str]]:
    """Return what was given, by setting, and a sentence on each name that another one of the same place beat."""
    given, overlooked = {}, []
    for one in SETTINGS:
        if overrides.get(one.name) not in (None, ""):
            flag = "--" + one.name.replace("_", "-")
            given[one.name] = Given(overrides[one.name], flag, "argument")
            continue
        found = [(place, name) for place in places for name in one.names if name in place.values]
        if found:
            place, name = found[0]
            given[one.name] = _given(one, place, name)
            overlooked += [
                f"{place.call(other)} is not used, because {name} says something else."
                for home, other in found[1:]
                if home is place and place.values[other] != place.values[name]
            ]
    strange = sorted(overrides.keys() - _BY_NAME.keys())
    if strange:
        raise SettingsError(f"{name} is no setting. {_nearest(name)}" for name in strange)
    return given, overlooked


def _given(one: Described, place: Place, name: str) -> Given:
    called = place.call(name)
    return Given(place.values[name], called, place.label if name == one.env else f"alias {called}")


def _read_key_file(given: dict[str, Given]) -> list[str]:
    """Put the text of the key file in place of the key, and return what is wrong with it."""
    named = given.get("jwt_public_key_file")
    if named is None:
        return []
    if "jwt_public_key" in given:
        return [f"{given['jwt_public_key'].called} and {named.called} are both set; set one of them."]
    try:
        with Path(named.value).expanduser().open(encoding="ascii") as file:
            text = file.read(LARGEST_KEY_FILE_BYTES)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: no such home; ValueError: not text, or NUL in the path
        return [f"{named.called} is {str(named.value)!r}: it must be a PEM file that this server can read."]
    given["jwt_public_key"] = Given(text, f"The file that {named.called} names", named.source)
    return []


def _checked(given: Mapping[str, Given], problems: Sequence[str]) -> Settings:
    """Build the settings, or raise one SettingsError with these problems and all others."""
    values = {name: one.value for name, one in given.items()}
    problems = [*problems, *contradictions(values)]
    try:
        settings = Settings(**values)
    except ValidationError as exc:
        own = {str(error["loc"][0]): _sentence(error, given) for error in exc.errors() if error["loc"]}
        raise SettingsError([*problems, *(own[name] for name in _BY_NAME if name in own)]) from exc
    if problems:
        raise SettingsError(problems)
    return settings


def _sentence(error: ErrorDetails, given: Mapping[str, Given]) -> str:
    """Say in one sentence what was given and what would be right."""
    one = _BY_NAME[str(error["loc"][0])]
    wrong = given.get(one.name, Given(one.default, one.env, DEFAULT))
    right = str(error["ctx"]["error"]) if error["type"] == "value_error" else f"it must be {one.wants}"
    text = shown(one, wrong.value)
    if text == MASK:
        return f"{wrong.called} can't be used: {right}."
    return f"{wrong.called} is {text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + '…'!r}: {right}."
