"""`carryall deliveries`: what is on its way to stores, what failed there, and another try."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from carryall.cli.screen import count_text, lesson, say, show_json, show_table, size_text, when_text
from carryall.model.file import CopyState

if TYPE_CHECKING:
    from carryall.model.file import Copy, File
    from carryall.wiring import House

app = typer.Typer(name="deliveries", no_args_is_help=True, help="See deliveries to stores; try failed ones again.")

Store = Annotated[str | None, typer.Option(help="To this store alone.")]


@app.command(
    "ls",
    epilog=lesson(
        "carryall deliveries ls --store s3 --state failed",
        "carryall deliveries ls --owner user:alice --json",
        then="`carryall deliveries retry FILE_ID` tries one again.",
    ),
)
def list_deliveries(
    store: Store = None,
    state: Annotated[CopyState | None, typer.Option(help="In this state; left out: in every one but stored.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only of this owner's files, such as user:NAME.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=100_000)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show deliveries that aren't done, those of the newest files first.

    One that failed is tried again at the time shown, for about a day; without a time it was given up, and waits for you
    to try it again.
    """
    from carryall.cli.setup import in_house
    from carryall.operations.deliveries import UNFINISHED
    from carryall.ports.catalog_files import CopyQuery

    states = (state,) if state is not None else UNFINISHED

    async def look(house: "House") -> list[tuple["File", "Copy"]]:
        query = CopyQuery(states, store=store, owner=owner, limit=limit + 1)
        return await house.context.deliveries.find(house.context.authenticate.admin, query)

    found = in_house(look)
    if as_json:
        show_json([_described(*one) for one in found[:limit]])
        return
    columns = ("FILE", "NAME", "SIZE", "OWNER", "STORE", "STATE", "TRIES", "NEXT TRY", "ERROR")
    show_table(columns, [_row(*one) for one in found[:limit]])
    if not found:
        say("No such delivery." if state is not None or store or owner else "Every file is where it is to be.")
    elif len(found) > limit:
        say("There are more; --limit shows them.")


def _described(file: "File", copy: "Copy") -> dict[str, Any]:
    return {
        "file_id": file.id,
        "name": file.name,
        "size": file.size,
        "owner": file.owner,
        "store": copy.store,
        "state": copy.state,
        "sent_bytes": copy.sent_bytes if copy.state is CopyState.DELIVERING else None,
        "attempts": copy.attempts,
        "error": copy.error,
        "code": copy.error_code,
        "next_try_at": copy.next_try_at,
        "stored_at": copy.stored_at,
    }


def _row(file: "File", copy: "Copy") -> tuple[str, ...]:
    state = copy.state.value
    if copy.state is CopyState.DELIVERING and file.size:
        state = f"{state} {100 * copy.sent_bytes // file.size} %"
    what = (file.id, file.name, size_text(file.size), file.owner, copy.store, state)
    return (*what, str(copy.attempts), when_text(copy.next_try_at), copy.error or "-")


@app.command(
    epilog=lesson(
        "carryall deliveries retry 4kTn2VbX9cQ8wEr7yUa3Zs",
        "carryall deliveries retry --all --store s3",
        then="`carryall deliveries ls` shows how it goes.",
    )
)
def retry(
    file: Annotated[str | None, typer.Argument(help="A file by the first column of `deliveries ls`.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every delivery that failed.")] = False,
    store: Store = None,
) -> None:
    """Try deliveries that failed once more, now. A running server, or `carryall work --once`, carries them out."""
    from carryall.cli.setup import in_house

    if (file is None) != every:
        raise typer.BadParameter("name one file, or give --all")

    async def go(house: "House") -> int:
        deliveries, admin = house.context.deliveries, house.context.authenticate.admin
        if file is None:
            return await deliveries.retry_failed(store)
        return await deliveries.retry_file(admin, file, store)

    if tried := in_house(go):
        say(f"{count_text(tried, 'delivery', 'deliveries')} will be tried now.")
    else:
        say("There is nothing to try again.")
