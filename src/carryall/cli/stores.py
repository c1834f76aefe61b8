"""`carryall stores`: the places where files are kept."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carryall.cli import evacuate
from carryall.cli.screen import lesson, say, show_json, show_table, size_text
from carryall.model.errors import CarryallError, Missing

if TYPE_CHECKING:
    from carryall.config import Settings
    from carryall.operations.health import StoreView
    from carryall.operations.trial import Step
    from carryall.wiring import House

app = typer.Typer(name="stores", no_args_is_help=True, help="See to the stores that files are kept in.")
app.command("evacuate", epilog=evacuate.LESSON)(evacuate.evacuate)


@app.command(
    "ls",
    epilog=lesson("carryall stores ls", then="`carryall stores test NAME` tries one out; docs/stores adds another."),
)
def list_stores(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False) -> None:
    """Show every store: whether it can be used now, its room, and the files that are to be there.

    Each is asked, which may take a minute where one doesn't answer.
    """
    from carryall.cli.setup import in_house

    async def look(house: "House") -> list[dict[str, Any]]:
        return [_described(house.settings, view) for view in await house.context.health.stores()]

    found = in_house(look)
    if as_json:
        show_json(found)
        return
    columns = ("NAME", "KIND", "STATE", "FREE", "FILES", "SIZE")
    show_table(columns, [_row(one) for one in found])


def _described(settings: "Settings", view: "StoreView") -> dict[str, Any]:
    kind = "local" if view.name == "local" else getattr(settings.stores.get(view.name), "kind", None)
    amount = {"files": view.amount.copies, "bytes": view.amount.size}
    return {"name": view.name, "kind": kind, "state": view.answer, "room": asdict(view.room), **amount}


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    free = one["room"]["free"]
    room = "-" if free is None else size_text(free)
    return (one["name"], one["kind"] or "-", one["state"], room, str(one["files"]), size_text(one["bytes"]))


@app.command(
    "test",
    epilog=lesson(
        "carryall stores test s3",
        then="name the store in CARRYALL_TARGET, or ask for it with an upload, and start the server again.",
    ),
)
def try_out(
    name: Annotated[str, typer.Argument(help="The store's name, as `carryall stores ls` has it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Try a store out: write two files, look, read, list, link, and erase them again; show how long each took.

    It touches no other file, and may run beside a running server. When something fails the exit status is 1, and the
    reason and the settings to look at are said.
    """
    from carryall.cli.setup import in_house

    async def work(house: "House") -> tuple[list["Step"], "Step | None", str]:
        steps: list[Step] = []
        failed = await _tried(house, name.lower(), steps)
        return steps, failed, _hint(house.settings, name.lower(), failed)

    steps, failed, hint = in_house(work, may_begin=True)
    if as_json:
        show_json([_step(step) for step in steps])
    else:
        columns = ("STEP", "TIME", "SPEED", "RESULT")
        show_table(columns, [_step_row(step) for step in steps])
    if failed is not None and failed.error is not None:
        text = f"It failed ({failed.what}): {failed.error.message}{hint}"
        raise CarryallError(text, code=failed.error.stable_code)
    say(f"Store {name.lower()} works.")


async def _tried(house: "House", name: str, steps: list["Step"]) -> "Step | None":
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from carryall.operations.trial import Trial

    world = house.plugs.world
    if name not in world.stores:
        raise Missing(f"There is no store {name} in the settings. There is: {', '.join(world.stores)}.")
    with TemporaryDirectory(prefix="carryall-test-") as folder:
        return await Trial(world.stores[name], world.ids, Path(folder)).run(steps.append)


def _hint(settings: "Settings", name: str, failed: "Step | None") -> str:
    """Say which settings to look at."""
    if failed is None or failed.error is None:
        return ""
    store = settings.stores.get(name)
    names = store.look_at(failed.error.stable_code) if store else ("CARRYALL_DATA_DIR",)
    return f" Look at {', '.join(names)}." if names else ""


def _step(step: "Step") -> dict[str, Any]:
    error = step.error
    return {
        "step": step.what,
        "seconds": round(step.seconds, 4),
        "bytes": step.moved_bytes,
        "note": step.note,
        "error": error.message if error else None,
        "code": error.stable_code if error else None,
    }


def _step_row(step: "Step") -> tuple[str, ...]:
    speed = f"{size_text(int(step.moved_bytes / max(step.seconds, 1e-6)))}/s" if step.moved_bytes else "-"
    result = f"FAILED: {step.error.message}" if step.error else step.note or "ok"
    return (step.what, f"{step.seconds * 1000:.0f} ms", speed, result)
