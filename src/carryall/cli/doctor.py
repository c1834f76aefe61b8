"""`carryall doctor`: whether what is remembered and what is there agree, and how it looks from outside."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from carryall.cli.screen import count_text, lesson, say, show, show_json, visible

if TYPE_CHECKING:
    from carryall.config import Settings
    from carryall.operations.doctor import Finding
    from carryall.wiring import House

app = typer.Typer()


@app.command(
    epilog=lesson(
        "carryall doctor",
        "carryall doctor --json",
        "carryall doctor --url https://files.example.org",
        then="where a file's bytes are lost, restore them from a backup or delete it with `carryall files rm`; "
        "--repair corrects counters.",
    )
)
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Correct the counters of who uses how much, first.")] = False,
    only_settings: Annotated[bool, typer.Option("--settings", help="Look at the settings, not at the data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Look at this public address from outside, and at nothing else.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="With --url: a user's token, to try a small file; - reads it from the input.")
    ] = None,
) -> None:
    """Compare the catalog with the bytes, in both directions, and look at settings, jobs and disks.

    Damage is marked WRONG and makes the exit status 1. The rest is a note: leftovers that the next sweep takes, and
    settings that somebody may regret. It reads while the server runs, and changes nothing without --repair. Copies in
    stores that aren't on this machine are for `carryall scrub`.

    With --url it asks as a client does, from wherever it runs: whether the server is reached, and what a proxy between
    does to bodies, sizes, methods and headers.
    """
    findings = _from_outside(url, token) if url else _inside(repair=repair, only_settings=only_settings)
    wrong = sum(finding.is_wrong for finding in findings)
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            show(visible(f"{'WRONG' if finding.is_wrong else 'note'} {finding.about}: {finding.text}"))
    say(f"Wrong: {count_text(wrong, 'finding')}." if wrong else "Nothing is wrong.")
    raise typer.Exit(1 if wrong else 0)


def _from_outside(url: str, key: str | None) -> list["Finding"]:
    from carryall.cli.outside import examine

    return list(examine(url, sys.stdin.readline().strip() if key == "-" else key))


def _inside(*, repair: bool, only_settings: bool) -> list["Finding"]:
    from carryall.config import check_folders, load_settings

    settings = load_settings()
    check_folders(settings)
    findings = _of_settings(settings)
    return findings if only_settings else findings + _of_data(repair=repair)


def _of_settings(settings: "Settings") -> list["Finding"]:
    from carryall.operations.doctor import Finding

    return [Finding(is_wrong=False, about="settings", text=notice) for notice in settings.notices]


def _of_data(*, repair: bool) -> list["Finding"]:
    from carryall.cli.setup import in_house

    async def look(house: "House") -> list["Finding"]:
        if repair:
            say(f"Corrected: the counters of {count_text(await house.doctor.repair_counters(), 'owner')}.")
        return [finding async for finding in house.doctor.examine()]

    return in_house(look)
