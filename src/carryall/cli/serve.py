"""`carryall serve`: run the server."""

import errno
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carryall.cli.screen import lesson, say
from carryall.model.errors import CarryallError

if TYPE_CHECKING:
    from carryall.config import Generated, Settings

app = typer.Typer()

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # shown, not listened on: where a browser here gets in


@app.command(
    epilog=lesson(
        "carryall serve",
        "carryall serve --host 0.0.0.0 --port 9000",
        then="`carryall users token alice --add` gives somebody a token; docs/deploy.md is for the internet.",
    )
)
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on; 0.0.0.0 for all of them.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many processes take requests.")] = None,
    reload: Annotated[bool | None, typer.Option("--reload", help="Start again when the code changes.")] = None,
) -> None:
    """Run the server until Ctrl-C.

    Without any setting it listens on 127.0.0.1:8000, keeps everything in ./data, and prints the tokens that it
    generates at its first start. Settings come from the environment and from .env; `carryall settings` shows them.

    Ctrl-C and SIGTERM let running requests finish (CARRYALL_SHUTDOWN_GRACE_S); a second Ctrl-C quits.
    """
    from carryall.cli.crew import counting_together
    from carryall.cli.setup import prepared_settings

    settings, kept = prepared_settings(host=host, port=port, workers=workers, reload=reload)
    with counting_together() if settings.workers > 1 else nullcontext():
        _serve(settings, kept)


def _serve(settings: "Settings", kept: list["Generated"]) -> None:
    from carryall.cli.crew import Crew
    from carryall.cli.process import run_process
    from carryall.wiring import start_logs

    start_logs(settings)
    with _listening(settings.host, settings.port) as listener:
        if settings.reload:
            _run_again_and_again(settings, listener)
        elif settings.workers > 1:
            Crew(settings, listener, on_ready=lambda: _greet(settings, kept)).run()
        else:
            run_process(settings, listener, on_ready=lambda: _greet(settings, kept))


def _run_again_and_again(settings: "Settings", listener: socket.socket) -> None:
    """Run the server in a process of its own, and anew whenever a file of this package changes."""
    import uvicorn
    from uvicorn.supervisors import ChangeReload

    from carryall.cli.process import options
    from carryall.cli.setup import say_notices

    os.environ |= {"CARRYALL_HOST": settings.host, "CARRYALL_PORT": str(settings.port), "CARRYALL_RELOAD": "true"}
    code = str(Path(__file__).parents[1])
    config = uvicorn.Config("carryall.asgi:app", lifespan="on", reload=True, reload_dirs=[code], **options(settings))
    say_notices(settings)
    say(f"Serving {_url(settings)}/ and watching {code}. Ctrl-C stops.")
    ChangeReload(config, target=uvicorn.Server(config).run, sockets=[listener]).run()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Give a socket that listens, or say why there can't be one."""
    listener = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
        listener = socket.socket(family, kind, protocol)
        if os.name == "posix":  # a restart needn't wait for the old connections; on Windows it would mean to share
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        if listener:
            listener.close()
        raise _cannot_listen(host, port, error) from error
    with listener:
        listener.set_inheritable(True)  # for the process that --reload starts
        yield listener


def _cannot_listen(host: str, port: int, error: OSError) -> CarryallError:
    if error.errno == errno.EADDRINUSE:
        text = (
            f"Port {port} on {host} is taken, perhaps by a Carryall that runs already. "
            f"Stop that program, or choose another port: carryall serve --port {port + 1}"
        )
    elif error.errno == errno.EACCES:
        text = f"Port {port} may not be used by this user. Choose one above 1023: carryall serve --port 8000"
    else:
        text = (
            f"Nothing can listen on {host} ({error.strerror}). It must be an address of this machine: --host 127.0.0.1"
        )
    return CarryallError(text, code="cannot_listen")


def _greet(settings: "Settings", kept: list["Generated"]) -> None:
    """Tell a person what to do first, in one piece; where nobody watches, log the same."""
    import structlog

    from carryall.cli.setup import is_watched

    if not is_watched(settings):
        log = structlog.get_logger(__name__)
        log.info("server.listening", url=_url(settings), host=settings.host, port=settings.port)
        for notice in settings.notices:
            log.warning("settings.notice", text=notice)
        return
    url = _url(settings)
    lines = [
        "",
        f"  Open    {url}/",
        f"  Upload  {_first_upload(url, kept)}",
        f"  Data    {settings.data_dir}",
        *(f"  Note    {notice}" for notice in settings.notices),
        "  Stop    Ctrl-C",
        "",
    ]
    say("\n".join(lines))


def _first_upload(url: str, kept: list["Generated"]) -> str:
    """Give a command line that uploads something, for whoever pastes it on this machine."""
    paths = [str(secret.path) for secret in kept if secret.name == "service_token"]
    key = f"$(cat {shlex.quote(paths[0])})" if paths else "$AUTH_TOKEN"  # their own: set by them, not in the folder
    return f'echo hello | curl -H "X-Auth-Token: {key}" -F "file=@-;filename=hello.txt" {url}/upload'


def _url(settings: "Settings") -> str:
    if settings.base_url:
        return settings.base_url
    host = _ANYWHERE.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
