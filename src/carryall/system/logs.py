"""Structured logs on standard error: an event's name and its values, one line each."""

import logging
import sys
from typing import Any

import structlog


def set_up_logs(*, level: str, as_json: bool | None) -> None:
    """Set up logging once, before the first line.

    Args:
        level: "DEBUG", "INFO", …
        as_json: None for JSON unless a person watches (standard error is a terminal).
    """
    is_json = not sys.stderr.isatty() if as_json is None else as_json
    renderer: Any = structlog.processors.JSONRenderer()
    if not is_json:
        # repr: a CR, LF or ESC in a name must not reach the terminal (threat 25)
        renderer = structlog.dev.ConsoleRenderer(repr_native_str=True)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(level, shared, renderer)


def _route_standard_logging(level: str, shared: list[Any], renderer: Any) -> None:
    """Send what libraries log through the same renderer."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [lines]
    # Libraries speak at WARNING and above; uvicorn's own lines about start and stop are ours to say.
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
