"""`carryall files`: what is kept, whoever's it is."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carryall.cli.screen import confirm_or_leave, count_text, lesson, say, show_json, show_table, size_text, when_text

if TYPE_CHECKING:
    from carryall.model.file import File
    from carryall.wiring import House

app = typer.Typer(name="files", no_args_is_help=True, help="See and delete files, whoever's they are.")


@app.command(
    "ls",
    epilog=lesson(
        "carryall files ls --owner user:alice",
        "carryall files ls --limit 1000 --json",
        then="`carryall files rm ID` deletes one; GET /v1/files has more filters.",
    ),
)
def list_files(
    owner: Annotated[
        str | None, typer.Option(help="Only this owner's: user:NAME, jwt:SUBJECT, service:relay, anonymous or admin.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=100_000)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show files, newest first."""
    from carryall.cli.setup import in_house
    from carryall.ports.catalog_files import FileQuery

    async def look(house: "House") -> tuple[list["File"], int]:
        serve, admin = house.context.serve, house.context.authenticate.admin
        query = FileQuery(owner=owner, limit=limit)
        return await serve.find(admin, query), await serve.count(admin, query)

    files, total = in_house(look)
    if as_json:
        show_json([_described(file) for file in files])
        return
    columns = ("ID", "NAME", "SIZE", "TYPE", "OWNER", "MADE")
    show_table(
        columns,
        [(f.id, f.name, size_text(f.size), f.media_type, f.owner, when_text(f.created_at)) for f in files],
    )
    say(f"{len(files)} of {count_text(total, 'file')}." + (" --limit shows more." if total > len(files) else ""))


def _described(file: "File") -> dict[str, Any]:
    described = asdict(file)
    del described["retention"]
    return {**described, "retention_s": file.retention.total_seconds() if file.retention else None}


@app.command(
    "rm", epilog=lesson("carryall files rm 4kTn2VbX9cQ8wEr7yUa3Zs", then="`carryall files ls` shows what is left.")
)
def remove(
    ids: Annotated[list[str], typer.Argument(help="Files by the first column of `files ls`.", metavar="ID...")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete files, at once and for good. A running server, or `carryall work --once`, erases their bytes."""
    from carryall.cli.setup import in_house
    from carryall.model.errors import Missing

    async def go(house: "House") -> list[str]:
        context, missing = house.context, []
        for file_id in ids:
            try:
                await context.files.delete(context.authenticate.admin, file_id)
            except Missing:
                missing.append(file_id)
        return missing

    confirm_or_leave(f"Delete {count_text(len(ids), 'file')}?", is_confirmed=yes)
    missing = in_house(go)
    say(f"Deleted: {count_text(len(ids) - len(missing), 'file')}.")
    if missing:
        raise Missing(f"There is no file {', '.join(missing)}. `carryall files ls` shows those there are.")
