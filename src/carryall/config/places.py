"""Where names are set: the environment, a .env file; and what was found there for a setting."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from pydantic_core import ErrorDetails

from carryall.config.fields import MASK, Described, shown

LARGEST_KEY_FILE_BYTES = 64 * 1024
LONGEST_SHOWN = 80


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


def place_of(label: str, pairs: Iterable[tuple[str, str]]) -> Place:
    """Give a place with these names and values."""
    names, values = set(), {}
    for name, value in pairs:
        names.add(name)
        if value.strip():
            values[name] = value.strip()
    return Place(label, frozenset(names), values)


def file_place(path: Path | None, problems: list[str]) -> Place:
    """Give what a file of NAME=value lines sets; it need not exist. What is wrong with it joins the problems."""
    if path is None:
        return place_of("", ())
    try:
        with path.open(encoding="utf-8-sig") as lines:
            bindings = list(parse_stream(lines))
    except FileNotFoundError:
        return place_of(path.name, ())
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8 text"
        problems.append(f"{path.name} can't be read: {reason}.")
        return place_of(path.name, ())
    problems += [
        f"Line {binding.original.line} of {path.name} can't be understood; it must look like NAME=value."
        for binding in bindings
        if binding.error
    ]
    return place_of(path.name, [(binding.key, binding.value or "") for binding in bindings if binding.key])


def look_up(one: Described, places: Sequence[Place]) -> tuple[Given | None, list[str]]:
    """Return what was given for a setting, and a sentence on each name that another one of the same place beat."""
    found = [(place, name) for place in places for name in one.names if name in place.values]
    if not found:
        return None, []
    place, name = found[0]
    called = place.call(name)
    overlooked = [
        f"{place.call(other)} is not used, because {name} says something else."
        for home, other in found[1:]
        if home is place and place.values[other] != place.values[name]
    ]
    return Given(place.values[name], called, place.label if name == one.env else f"alias {called}"), overlooked


def read_named_file(named: Given, wanted: str) -> tuple[str, str | None]:
    """Return the text of the file that a setting names, and what is wrong with it, if something is.

    Args:
        wanted: what kind of file it has to be: "a PEM file".
    """
    try:
        with Path(named.value).expanduser().open(encoding="ascii") as file:
            return file.read(LARGEST_KEY_FILE_BYTES), None
    except (OSError, RuntimeError, ValueError):  # RuntimeError: no such home; ValueError: not text, or NUL in the path
        return "", f"{named.called} is {str(named.value)!r}: it must be {wanted} that this server can read."


def sentence(one: Described, wrong: Given, error: ErrorDetails) -> str:
    """Say in one sentence what was given and what would be right."""
    right = str(error["ctx"]["error"]) if error["type"] == "value_error" else f"it must be {one.wants}"
    text = shown(one, wrong.value)
    if text == MASK:
        return f"{wrong.called} can't be used: {right}."
    return f"{wrong.called} is {text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + '…'!r}: {right}."
