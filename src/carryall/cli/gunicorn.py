"""gunicorn's worker with our protocol class: `gunicorn carryall.asgi:app -k carryall.cli.gunicorn.Worker`."""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

from carryall.cli.process import UVICORN


class Worker(UvicornWorker):  # type: ignore[misc]  # published without types
    """uvicorn's worker, started as `carryall serve` starts uvicorn: 104, trailers, timed headers."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {**UVICORN, "http": "carryall.asgi:http"}
