"""gunicorn's worker with our protocol class: `gunicorn carryall.asgi:app -k carryall.cli.gunicorn.Worker`."""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):  # type: ignore[misc]  # published without types
    """uvicorn's worker, started as `carryall serve` starts uvicorn: 104, trailers, timed headers."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "http": "carryall.asgi:http",
        "proxy_headers": False,  # we read them ourselves, and only from CARRYALL_TRUSTED_PROXIES
        "server_header": False,
        "ws": "carryall.http.sockets:PiecewiseSocket",
        "ws_per_message_deflate": False,  # bodies are never unpacked (threat 19)
    }
