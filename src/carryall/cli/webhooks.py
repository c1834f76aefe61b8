"""`carryall webhooks`: what the main service was told, and what it wasn't."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carryall.cli.screen import lesson, say, show_json, show_table, when_text
from carryall.model.work import JobState

if TYPE_CHECKING:
    from carryall.model.work import Event, Job
    from carryall.operations.announce import Telling
    from carryall.wiring import House

app = typer.Typer(name="webhooks", no_args_is_help=True, help="See what the main service was told; tell it again.")


@app.command(
    "ls",
    epilog=lesson(
        "carryall webhooks ls --state failed",
        then="`carryall webhooks replay EVENT` sends one again.",
    ),
)
def list_tellings(
    state: Annotated[JobState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(help="How many of each at most.", min=1, max=10_000)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show notifications to the main service, newest first, and the latest events, told or not.

    A notification that failed is tried again for about half a day, then it is given up and stays in this list for
    you to send again. Events are kept for 90 days.
    """
    from carryall.cli.setup import in_house

    async def look(house: "House") -> tuple[list["Telling"], list["Event"]]:
        return await house.announce.tellings(state=state, limit=limit), await house.announce.recent(limit)

    tellings, events = in_house(look)
    if as_json:
        show_json({"notifications": [_described(one) for one in tellings], "events": [asdict(one) for one in events]})
        return
    columns = ("EVENT", "TYPE", "SUBJECT", "STATE", "TRIES", "NEXT TRY", "ERROR")
    show_table(columns, [_row(one) for one in tellings], title="notifications")
    rows = [(str(one.id), one.type, one.subject, one.owner, when_text(one.created_at)) for one in events]
    show_table(("EVENT", "TYPE", "SUBJECT", "OWNER", "AT"), rows, title="events")


def _described(telling: "Telling") -> dict[str, Any]:
    job, event = telling.job, telling.event
    return {
        "event_id": job.payload["event"],
        "type": job.payload["type"],
        "subject": event.subject if event else None,
        "state": job.state,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "next_try_at": _next_try(job),
        "finished_at": job.finished_at,
        "error": job.error,
    }


def _row(telling: "Telling") -> tuple[str, ...]:
    one = _described(telling)
    tries = f"{one['attempts']}/{one['max_attempts']}"
    what = (str(one["event_id"]), one["type"], one["subject"] or "-")
    return (*what, one["state"], tries, when_text(one["next_try_at"]), one["error"] or "-")


def _next_try(job: "Job") -> Any:
    return job.run_at if job.state is JobState.QUEUED else None


@app.command(epilog=lesson("carryall webhooks replay 42", then="`carryall webhooks ls` shows how it went."))
def replay(event: Annotated[int, typer.Argument(help="The event's number in `carryall webhooks ls`.")]) -> None:
    """Tell the main service of an event once more. A running server, or `carryall work --once`, sends it."""
    from carryall.cli.setup import in_house
    from carryall.model.errors import CarryallError

    async def queue(house: "House") -> None:
        if house.settings.webhook_url is None:
            raise CarryallError("There is nobody to tell: CARRYALL_WEBHOOK_URL is not set.", code="webhook_unset")
        await house.announce.replay(event)

    in_house(queue)
    say(f"Event {event} will be sent again.")
