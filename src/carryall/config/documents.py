"""Write the settings down: .env.example and docs/settings.md, made from the fields themselves."""

import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from carryall.config import notices
from carryall.config.fields import Described, Topic, describe
from carryall.config.stores import FILE_ENDING, KINDS, StoreOptions, described
from carryall.config.topics import TOPICS

RULES = (
    "A command line option wins over the environment, and the environment over a .env file where the server starts.",
    "Within one of them a CARRYALL_ name wins over its other names.",
    "An empty value counts as not set.",
    "Names that Carryall doesn't know are ignored; an unknown name that begins with CARRYALL_ is an error.",
    "MiB is 1024 * 1024 bytes, KiB is 1024 bytes; decimals are allowed (0.5).",
    "Values in a .env file are taken as they stand: ${NAME} is not replaced.",
)
"""How names and values are read."""

STORES = (
    "A store is named by its settings: CARRYALL_STORE_PHOTOS_BUCKET sets the option BUCKET of the store photos.",
    "Names have letters and digits. Options are those of the store's KIND.",
    "The KIND may be left out where a store is called like it: s3, mega, rclone.",
    "The store local is always there: the folder files in the data folder. It can't be set.",
    f"A secret can stand in a file instead: the same name with {FILE_ENDING} at its end, and the file's path.",
    "Several stores may be of one kind. Unknown options are errors.",
)
"""How stores are named. More: docs/stores/index.md."""

_ANY = "<NAME>"
_WIDTH = 100


def write_documents(root: Path) -> None:
    """Write both documents below the project's root folder."""
    (root / ".env.example").write_text(env_example(), encoding="utf-8")
    (root / "docs" / "settings.md").write_text(settings_table(), encoding="utf-8")


def env_example() -> str:
    """Return the text of .env.example: every setting, commented out, with its default."""
    rules = ("Carryall's settings. Copy this file to .env and change what you need.", *RULES)
    parts = ["\n".join(_comment(rule) for rule in rules)]
    for topic in TOPICS:
        parts.append(f"# ---- {topic.title} ----\n{_comment(_intro(topic))}")
        parts += [_example(one) for one in describe(topic)]
    parts.append("\n".join(("# ---- Stores ----", *(_comment(rule) for rule in STORES))))
    parts += ["\n".join(_family(kind)) for kind in KINDS.values()]
    return "\n\n".join(parts) + "\n"


def _example(one: Described) -> str:
    facts = f"Takes {_wanted(one)}. Default: {one.default or 'not set'}."
    if one.also:
        facts += f" Also read: {', '.join(one.also)}."
    return f"{_comment(one.about)}\n{_comment(facts)}\n#{one.env}={one.default}"


def _family(kind: type[StoreOptions]) -> Iterator[str]:
    """Write the options of one kind of store; the names of described systems can be uncommented."""
    yield _comment(f"{kind.title}: {_intro(kind)}")
    for one in _options(kind):
        yield _comment(f"{one.env}: {one.about} Takes {_wanted(one)}. {_default(one)}.")
        yield from (f"#{name}=" for name in one.also)


def _options(kind: type[StoreOptions]) -> tuple[Described, ...]:
    known = described(kind.kind, kind)
    return tuple(replace(one, env=one.env.replace(f"_{kind.kind.upper()}_", f"_{_ANY}_", 1)) for one in known)


def _default(one: Described) -> str:
    return "Required" if one.is_required else f"Default: {one.default or 'not set'}"


def _comment(text: str) -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )


def _wanted(one: Described) -> str:
    return f"{one.wants} ({one.unit})" if one.unit else one.wants


def _intro(topic: type[Topic]) -> str:
    return " ".join((topic.__doc__ or "").split())


def settings_table() -> str:
    """Return the text of docs/settings.md: the settings by need, and the names that have no effect."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from (
        "# Settings",
        "",
        "`carryall settings` prints the values in force, where each comes from, and no secrets.",
    )
    yield from ("", *(f"- {rule}" for rule in RULES))
    for topic in TOPICS:
        yield from ("", f"## {topic.title}", "", _intro(topic), "")
        yield from ("| name | also read | takes | default | what it does |", "|---|---|---|---|---|")
        yield from (_row(one) for one in describe(topic))
    yield from ("", "## Stores", "", *(f"- {rule}" for rule in STORES))
    for kind in KINDS.values():
        yield from ("", f"### {kind.title}", "", _intro(kind), "")
        yield from ("| name | also read | takes | default | what it does |", "|---|---|---|---|---|")
        yield from (_row(one) for one in _options(kind))
    yield from ("", "## Names without effect", "", "| name | why |", "|---|---|")
    yield from _without_effect()


def _row(one: Described) -> str:
    also = ", ".join(f"`{name}`" for name in one.also)
    default = "required" if one.is_required else f"`{one.default}`" if one.default else "not set"
    cells = [f"`{one.env}`", also, _wanted(one), default, one.about]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _without_effect() -> Iterator[str]:
    hints = ", ".join(f"`{name}`" for name in notices.FOLDER_HINTS)
    yield f"| {hints} | Everything is in the data folder (`CARRYALL_DATA_DIR`); it may be one of these, never served. |"
    yield "| `DATABASE_URL` | The catalog is a database of Carryall's own: `CARRYALL_DATABASE_URL`. |"
    yield "| `CACHE_TTL` | Answers are never taken from a cache that could be stale. |"
    yield "| `CARRYALL_TEST_…` | Reserved for the project's own tests. |"
