"""The `carryall` command: one group per file, imported when it runs."""

import typer

from carryall.cli.serve import serve

app = typer.Typer(
    name="carryall",
    help="Take any file through any door and carry it to any storage.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)


@app.callback()
def about() -> None:
    """Take any file through any door and carry it to any storage."""


def main() -> None:
    """Run the command line."""
    app()
