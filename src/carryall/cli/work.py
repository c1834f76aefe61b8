"""`carryall work` and `carryall migrate`: what the server does in the background, alone."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from carryall.cli.screen import count_text, lesson, say

if TYPE_CHECKING:
    from carryall.wiring import House

app = typer.Typer()


@app.command(
    epilog=lesson(
        "carryall work --once",
        then="`carryall webhooks ls` shows what became of notifications, `carryall doctor` whether all is well.",
    )
)
def work(
    once: Annotated[bool, typer.Option("--once", help="Run what is due now, then end.")] = False,
) -> None:
    """Run background jobs: erase deleted files, let old ones expire, sweep leftovers, send notifications.

    `carryall serve` runs them too; this runs them without a server, or beside one. Two never run the same job at once.
    """
    from carryall.cli.setup import in_house, prepared_settings, require_data

    if once:
        done = in_house(lambda house: house.run_due())
        say(f"{count_text(done, 'job')} ran.")
        return
    from carryall.wiring import build, start_logs

    require_data()
    settings, _ = prepared_settings()
    start_logs(settings)
    asyncio.run(_until_stopped(build(settings)))


async def _until_stopped(house: "House") -> None:
    import structlog

    from carryall.cli.setup import is_watched
    from carryall.cli.stopping import obey_signals

    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        loop.call_soon_threadsafe(stopped.set)  # a signal comes in the middle of anything

    obey_signals(stop)
    async with house.open(), house.working():
        if is_watched(house.settings):
            say(f"Running background jobs of {house.settings.data_dir} until Ctrl-C.")
        structlog.get_logger(__name__).info("worker.started")
        await stopped.wait()


@app.command(
    epilog=lesson("carryall migrate", then="`carryall serve`. Keep a backup of the catalog if you may go back.")
)
def migrate() -> None:
    """Bring the catalog to the tables of this version.

    `carryall serve` does it by itself at its start; this is for those who want it done before. It only goes forward:
    an older version can't use the catalog afterwards.
    """
    from carryall.cli.setup import in_house

    async def nothing_more(_: "House") -> None:  # an open house has its tables
        return

    in_house(nothing_more, may_begin=True)
    say("The catalog has the tables of this version.")
