"""`carryall scrub`: whether every copy is what it should be, and another one where it isn't."""

from typing import TYPE_CHECKING, Annotated

import typer

from carryall.cli.progress import progress
from carryall.cli.screen import count_text, lesson, say, show, size_text, visible
from carryall.model.errors import Malformed

if TYPE_CHECKING:
    from carryall.operations.scrub import ScrubReport, ScrubWish
    from carryall.wiring import House

app = typer.Typer()


@app.command(
    epilog=lesson(
        "carryall scrub",
        "carryall scrub --store s3 --deep --rate 20",
        then="what could be healed is delivered anew by `carryall serve`; `carryall deliveries ls` shows it.",
    )
)
def scrub(
    store: Annotated[str | None, typer.Option(help="Look at this store alone.")] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read the bytes in stores elsewhere, too: every byte is fetched once.")
    ] = False,
    rate: Annotated[float | None, typer.Option(help="Read at most so many MiB a second.", min=0.01)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong.")] = False,
) -> None:
    """Compare every stored copy with what was stored, and bring those anew that differ or are missing.

    Copies on this machine are read and compared with their SHA-256; of those elsewhere the provider's size and checksum
    are asked for. A copy that is damaged is healed from another store's; where no other has the bytes, the file is
    lost, and the exit status is 1. The server does the same by itself, a part of it each hour (CARRYALL_SCRUB_DAYS).
    """
    from carryall.cli.setup import in_house
    from carryall.operations.pace import Pace
    from carryall.operations.scrub import ScrubWish

    wish = ScrubWish(
        stores=[store] if store else None,
        is_deep=deep,
        is_dry=dry_run,
        pace=Pace(rate * (1 << 20)) if rate else None,
    )

    async def look(house: "House") -> "ScrubReport":
        if store is not None and store not in house.plugs.world.stores:
            known = ", ".join(house.plugs.world.stores)
            raise Malformed(f"There is no store {store} in the settings. There are: {known}.", code="store_unknown")
        return await _shown(house, wish)

    report = in_house(look)
    for line in _lines(report):
        show(visible(line))
    raise typer.Exit(1 if report.unseen or any(damage.is_lost for damage in report.damages) else 0)


async def _shown(house: "House", wish: "ScrubWish") -> "ScrubReport":
    number, size = await house.copies.scrub.amount(wish)
    say(f"Looking at {count_text(number, 'stored file')}, {size_text(size)}.")
    with progress("scrub", total_bytes=size) as advance:
        return await house.copies.scrub.run(wish, lambda file: advance(file.size))


def _lines(report: "ScrubReport") -> list[str]:
    lines = [
        f"{'LOST' if one.is_lost else 'damaged'} {one.file_id} {one.store}: {one.why}"
        + ("" if one.is_lost else " Another copy has the bytes.")
        for one in report.damages
    ]
    lines += [f"unseen {store}: {n} couldn't be looked at. {why}" for store, (n, why) in sorted(report.unseen.items())]
    done = report.reconciled
    told = {
        "Taken for lost, and there again": report.back,
        "On its way without a job, queued again": done.requeued,
        "On its way with a job that was given up": done.given_up,
        "Asked for and never begun, queued": done.added,
    }
    lines += [f"{what}: {number}" for what, number in told.items() if number]
    lines += [
        f"In store {store}, which isn't in the settings, {count_text(number, 'file')} left alone"
        for store, number in sorted(done.unknown.items())
    ]
    damaged = len(report.damages)
    return [*lines, f"Looked at {report.looked} stored, {size_text(report.size)}: {damaged or 'nothing'} damaged."]
