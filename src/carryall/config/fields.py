"""What a setting is: its default, what it accepts, and what is said about it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    overload,
)

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from carryall.model.errors import CarryallError

PREFIX = "CARRYALL_"
MASK = "••••••"
DEFAULT = "default"
KIB = 1024
MIB = 1024 * KIB
MOST_MIB = 2.0**40  # an exbibyte: far above every disk, and its bytes still fit a database's 64-bit integer

Bytes = TypeVar("Bytes", int, int | None)


class SettingsError(CarryallError):
    """The settings can't be used. `problems` holds all that is wrong, one plain sentence each; never a secret."""

    code = "settings_invalid"

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("The settings can't be used:\n" + "\n".join(f"- {problem}" for problem in self.problems))


class Row(NamedTuple):
    """One line of `carryall settings`: where the value comes from, and the value, unless it is a secret."""

    name: str
    env: str
    value: str
    source: str


def setting(
    about: str,
    *,
    default: Any,
    also: Sequence[str] = (),
    unit: str = "",
    secret: bool = False,
    wants: str = "",
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """Declare one setting.

    Args:
        about: one sentence (or two) for the person who sets it.
        default: `...` where it has to be set.
        also: other environment names that are read, the preferred one first.
        unit: what a number counts.
        secret: never shown, not even in errors.
        wants: what a right value looks like, where the type doesn't tell.
        least: the smallest number that is taken.
        most: the largest number that is taken.
    """
    said: dict[str, Any] = {
        "also": [*also],
        "unit": unit,
        "secret": secret,
        "wants": wants,
        "least": least,
        "most": most,
    }
    return Field(default, description=about, repr=not secret, ge=least, le=most, json_schema_extra=said)


def in_mib(about: str, *, default: float | None, also: Sequence[str] = ()) -> Any:
    """Declare a size in MiB."""
    return setting(about, default=default, also=also, unit="MiB", least=0.001, most=MOST_MIB)


class InBytes(Generic[Bytes]):
    """A size that was set in MiB or KiB, in whole bytes: `user_max_file_bytes = InBytes[int]("user_max_file_mb")`."""

    def __init__(self, field: str, *, unit_bytes: int = MIB) -> None:
        self.field = field
        self.unit_bytes = unit_bytes

    @overload
    def __get__(self, settings: None, owner: type) -> "InBytes[Bytes]": ...
    @overload
    def __get__(self, settings: object, owner: type) -> Bytes: ...
    def __get__(self, settings: object | None, owner: type) -> Any:
        if settings is None:
            return self
        size = getattr(settings, self.field)
        return None if size is None else round(size * self.unit_bytes)


class Topic(BaseModel):
    """Settings that answer one need. `title` heads them in the documents; the docstring introduces them."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
        ignored_types=(InBytes,),
    )
    title: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Described:
    """A setting as the documents and the error messages speak of it.

    Attributes:
        name: in Python.
        env: the canonical environment name.
        also: the other names, the preferred one first.
        default: as it would be written into the environment; "" where nothing is set.
        wants: what a right value looks like: "a whole number from 1 to 65535".
        is_required: it has no default, and must be set.
    """

    name: str
    env: str
    also: tuple[str, ...]
    unit: str
    default: str
    about: str
    wants: str
    is_secret: bool
    is_required: bool

    @property
    def names(self) -> tuple[str, ...]:
        """All environment names, the one that wins first."""
        return (self.env, *self.also)


def describe(topic: type[Topic]) -> tuple[Described, ...]:
    """Return the settings of one topic, in the order in which they are written."""
    return tuple(_described(name, field) for name, field in topic.model_fields.items())


def _described(name: str, field: FieldInfo) -> Described:
    said: Any = field.json_schema_extra
    return Described(
        name=name,
        env=PREFIX + name.upper(),
        also=tuple(said["also"]),
        unit=said["unit"],
        default="" if field.is_required() else written(field.default),
        about=field.description or "",
        wants=said["wants"] or _wants(_bare(field.annotation), said["least"], said["most"]),
        is_secret=said["secret"],
        is_required=field.is_required(),
    )


def _wants(kind: Any, least: float | None, most: float | None) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _bounds(written(least), written(most))
    return {bool: "true or false", Path: "a path", str: "text"}.get(kind, "a comma-separated list")


def _bare(annotation: Any) -> Any:
    """Return the type itself: of `Annotated[Path, …] | None` it is Path."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _bare(next(kind for kind in get_args(annotation) if kind is not type(None)))
    return annotation


def _bounds(low: str, high: str) -> str:
    if low and high:
        return f" from {low} to {high}"
    return f" of at least {low}" if low else f" of at most {high}" if high else ""


def written(value: object) -> str:
    """Return a value as it would be written into the environment."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(written(part) for part in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def shown(one: Described, value: object) -> str:
    """Return a value that may be printed: secrets masked, and passwords and queries in URLs too."""
    text = written(value)
    if not text:
        return "not set"
    if one.is_secret:
        return MASK
    if one.name == "jwt_public_key":  # somebody may have pasted a private key or a shared secret
        label = re.match(r"\s*-----BEGIN [A-Z ]+-----", text)
        return f"{label[0].strip()} {MASK}" if label else MASK
    if one.name.endswith("_url"):
        text = re.sub(r"//[^/?#]*@", f"//{MASK}@", text)
        text = re.sub(r"\?.*", f"?{MASK}", text, flags=re.DOTALL)
    return text
