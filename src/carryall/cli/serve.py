"""`carryall serve`: run the server."""

import sys
from typing import Annotated

import typer

from carryall.cli.setup import prepared_settings


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on; 0.0.0.0 for all.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes. One, until leases cross processes.")] = None,
    reload: Annotated[bool | None, typer.Option("--reload", help="Start again when the code changes.")] = None,
) -> None:
    """Run the server until Ctrl-C.

    Without any setting it listens on 127.0.0.1:8000, keeps everything under ./data, and prints the tokens that it
    generated at the first start. Settings come from the environment and from .env; `carryall settings` shows them.
    """
    settings = prepared_settings(host=host, port=port, workers=workers, reload=reload)
    import uvicorn

    from carryall.wiring import application, build, start_logs

    start_logs(settings)
    listen = {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,  # we read them ourselves, and only from CARRYALL_TRUSTED_PROXIES
        "server_header": False,
        "timeout_graceful_shutdown": int(settings.shutdown_grace_s),
    }
    if settings.reload:
        uvicorn.run("carryall.asgi:app", reload=True, **listen)  # type: ignore[arg-type]
        return
    server = uvicorn.Server(uvicorn.Config(application(build(settings)), lifespan="on", **listen))  # type: ignore[arg-type]
    server.run()
    if not server.started:
        sys.exit(1)
