"""The `carryall` command: one file per command or group; what a command needs is imported when it runs."""

import sys
from typing import Annotated

import typer

from carryall.cli import deliveries, doctor, export, files, scrub, serve, settings, stores, users, webhooks, work
from carryall.cli.screen import lesson, say, show
from carryall.model.errors import CarryallError

app = typer.Typer(
    name="carryall",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (serve, work, users, files, deliveries, stores, webhooks, doctor, scrub, settings, export):
    app.add_typer(part.app)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        show(f"carryall {version('carryall')}")
        raise typer.Exit


@app.callback(
    epilog=lesson(
        "carryall serve",
        "carryall users token alice --add",
        then="`carryall serve --help` begins; `carryall settings` shows what can be set. All commands may run beside "
        "a running server.",
    )
)
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Take any file through any door and carry it to any storage."""


def main() -> None:
    """Run the command line. What goes wrong is one plain sentence and status 1; 2 for settings and usage."""
    try:
        app()
    except CarryallError as error:
        say(error.message)
        sys.exit(2 if error.stable_code == "settings_invalid" else 1)
    except OSError as error:
        say(f"{error.filename or 'The system'}: {error.strerror or error}.")
        sys.exit(1)
