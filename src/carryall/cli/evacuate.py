"""`carryall stores evacuate`: every file of one store into another one, while the server goes on."""

from typing import TYPE_CHECKING, Annotated

import typer

from carryall.cli.progress import progress
from carryall.cli.screen import confirm_or_leave, count_text, lesson, say, show, size_text, visible
from carryall.model.errors import CarryallError, Malformed

if TYPE_CHECKING:
    from carryall.config import Settings
    from carryall.operations.evacuate import MoveReport, MoveWish
    from carryall.wiring import House

LESSON = lesson(
    "carryall stores evacuate old --to s3 --dry-run",
    "carryall stores evacuate old --to s3 --rate 20",
    then="take the old store out of CARRYALL_TARGET first, so that nothing new goes there; docs/moving.md says it all.",
)


def evacuate(
    source: Annotated[str, typer.Argument(help="The store to empty.", metavar="STORE")],
    to: Annotated[str, typer.Option(help="The store that gets the files.")],
    rate: Annotated[float | None, typer.Option(help="Bring at most so many MiB a second.", min=0.01)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much there is to move.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Move every file of a store into another one, beside a running server; readers and uploads notice nothing.

    Each file is brought to the other store and compared there, then switched at one stroke; its old bytes are erased
    ten minutes later, by the server. Files that come meanwhile are moved, too. What is interrupted goes on when the
    command is given again. A file that can't be moved stays where it is and is listed; the exit status is then 1.
    """
    from carryall.cli.setup import in_house
    from carryall.operations.evacuate import MoveWish
    from carryall.operations.pace import Pace

    wish = MoveWish(source.lower(), to.lower(), Pace(rate * (1 << 20)) if rate else None)

    async def work(house: "House") -> "MoveReport | None":
        number, size = await _estimated(house, wish, rate)
        if dry_run or not number:
            return None
        confirm_or_leave(f"Move them from {wish.source} to {wish.to}?", is_confirmed=yes)
        report = await _moved(house, wish, size)
        for name in await _still_named(house, wish.source):
            say(f"Still going to {wish.source}: {name}.")
        return report

    try:
        report = in_house(work)
    except KeyboardInterrupt:
        say("Stopped. Give the same command again to go on.")
        raise typer.Exit(130) from None
    if report is not None:
        _show(report, wish)


async def _estimated(house: "House", wish: "MoveWish", rate: float | None) -> tuple[int, int]:
    evacuate = house.copies.evacuate
    evacuate.check(wish.source, wish.to)
    number, size = await evacuate.amount(wish.source)
    if not number and wish.source not in house.plugs.world.stores:
        raise Malformed(f"There is no store {wish.source}, and no file is in one of that name.", code="store_unknown")
    say(f"Store {wish.source} has {count_text(number, 'file')}, {size_text(size)}.")
    speed = await evacuate.speed(wish.source) if number else None
    if rate and (speed is None or rate * (1 << 20) < speed):
        speed = rate * (1 << 20)
    if speed:
        say(f"At {size_text(int(speed))} a second, as fast as it can be read, that takes {_time_text(size / speed)}.")
    return number, size


async def _moved(house: "House", wish: "MoveWish", size: int) -> "MoveReport":
    with progress(f"{wish.source} → {wish.to}", total_bytes=size) as advance:
        return await house.copies.evacuate.run(wish, lambda _, moved: advance(moved))


async def _still_named(house: "House", store: str) -> list[str]:
    """Give what sends new files to a store."""
    settings = house.settings
    return [
        *(name for name in _of_settings(settings, store)),
        *(f"the plan {name}" for name in await house.copies.evacuate.named_by(store)),
    ]


def _of_settings(settings: "Settings", store: str) -> list[str]:
    from carryall.model.target import Target

    texts = {
        "CARRYALL_TARGET": settings.target,
        "CARRYALL_STORAGE_BACKEND": settings.storage_backend,
        "CARRYALL_RELAY_SERVICE": settings.relay_service,
    }
    return [name for name, text in texts.items() if text and store in Target.parse(text).stores]


def _show(report: "MoveReport", wish: "MoveWish") -> None:
    for stayed in report.stayed.values():
        show(visible(f"stayed {stayed.file.id} {stayed.file.owner} {stayed.file.name}: {stayed.why}"))
    say(f"Moved {count_text(report.moved, 'file')}, {size_text(report.size)}, to {wish.to}.")
    if report.moved:
        say(f"Their bytes in {wish.source} go in ten minutes: `carryall serve` erases them, or `carryall work`.")
    if report.stayed:
        raise CarryallError(
            f"{count_text(len(report.stayed), 'file')} stayed in {wish.source}. Give the command again.",
            code="move_unfinished",
        )


def _time_text(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 1:
        return "less than a minute"
    return f"{minutes:.0f} minutes" if hours < 2 else f"{hours:.0f} hours"
