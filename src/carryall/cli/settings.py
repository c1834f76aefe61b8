"""`carryall settings`: how this server would run."""

from typing import TYPE_CHECKING, Annotated

import typer

from carryall.cli.screen import lesson, show_json, show_table

if TYPE_CHECKING:
    from carryall.config import Row, Settings

app = typer.Typer()


@app.command(
    epilog=lesson(
        "carryall settings",
        "CARRYALL_PORT=9000 carryall settings",
        then="set a name in the environment or in .env; docs/settings.md explains each of them.",
    )
)
def settings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False) -> None:
    """Show every setting: the value that is in effect, and where it comes from. Secrets are not shown.

    What deserves a second look is said on standard error. Nothing is changed or made.
    """
    from carryall.cli.setup import say_notices
    from carryall.config import check_folders, load_settings

    loaded = load_settings()
    check_folders(loaded)
    rows = [_with_kept(loaded, row) for row in loaded.redacted()]
    if as_json:
        show_json([row._asdict() for row in rows])
    else:
        show_table(("SETTING", "VALUE", "FROM"), [(row.env, row.value, row.source) for row in rows])
    say_notices(loaded)


def _with_kept(loaded: "Settings", row: "Row") -> "Row":
    """Say of a secret that isn't set that the data folder has it, or will."""
    import os

    from carryall.config.fields import MASK
    from carryall.config.secrets_store import KEPT, SOURCE

    if row.name not in KEPT or getattr(loaded, row.name) is not None:
        return row
    if os.path.exists(loaded.data_dir / "secrets" / row.name):  # noqa: PTH110  # says no where we may not look; Path raises
        return row._replace(value=MASK, source=SOURCE)
    return row._replace(value="generated when needed")
