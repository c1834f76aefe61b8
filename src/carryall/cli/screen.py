"""What a person or a program reads: sentences on standard error, results on standard output."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

_UNITS = ("", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def say(text: str) -> None:
    """Say a sentence to the person, beside the result."""
    typer.echo(text, err=True)


def show(text: str) -> None:
    """Print a line of the result."""
    typer.echo(text)


def show_json(value: Any) -> None:
    """Print the result for a program: indented JSON, times as ISO 8601, sets as sorted lists."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_as_json))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print the result: a table on a terminal; for other programs tab-separated lines, without a heading.

    Args:
        title: tells several tables of one result apart; the first word of each line for other programs.
    """
    cells = [[visible(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            typer.echo("\t".join([title, *row] if title else row))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title.capitalize() or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for row in cells:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console().print(table)


def visible(text: str) -> str:
    """Escape what a terminal would obey or hide: control characters and direction marks in other people's names."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def count_text(number: int, noun: str, nouns: str = "") -> str:
    """Give a number of things: "1 file", "2 files"; `nouns` where an s isn't enough."""
    return f"{number} {noun}" if number == 1 else f"{number} {nouns or noun + 's'}"


def size_text(size: int) -> str:
    """Give a size in bytes as people read it: "3.4 MiB"."""
    amount, unit = float(size), 0
    while amount >= 1024 and unit + 1 < len(_UNITS):
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit else count_text(size, "byte")


def when_text(moment: datetime | None) -> str:
    """Give a time to the second, in UTC; "-" for none."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if moment else "-"


def lesson(*examples: str, then: str) -> str:
    """Give what stands below a command's help: examples as they are typed, and what to do next."""
    return "\b\nExample:\n" + "\n".join(f"  {example}" for example in examples) + f"\n\nNext: {then}"


def confirm_or_leave(question: str, *, is_confirmed: bool) -> None:
    """Ask before something is lost, unless `--yes` answered already; on "no" or without anybody to ask, leave."""
    if not is_confirmed:
        typer.confirm(question, abort=True, err=True)


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
