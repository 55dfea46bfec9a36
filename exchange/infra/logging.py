"""JSON logs for every role: one object a line, with the context of the work.

Use `structlog.get_logger()` and keyword arguments; `bound(order_id=...)` adds context to a whole
block. The context lives in contextvars, so threads and tasks do not share it. Never bind or log a
body, a key's secret or a signature.
"""

import logging
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import structlog

from exchange.infra.log_writer import WriterHandler

# The names that logs are searched by; use these and no synonyms.
CONTEXT_NAMES: Final = (
    "request_id",
    "account_id",
    "order_id",
    "symbol",
    "partition_id",
    "sequence",
)
REQUEST_CHARS_MAX: Final = 200
# Roles that run on. None of them waits for the reader of its log: neither an event loop nor the
# thread that matches all orders of a partition.
LONG_RUNNING: Final = ("web", "ws", "matching", "worker", "beat")
# Loggers whose INFO lines tell an operator nothing.
QUIET: Final = (
    "celery.app.trace",
    "celery.beat",
    "celery.worker.strategy",
    "daphne",
    "kombu",
)


def configure(config: Mapping[str, str]) -> None:
    """Send standard-library and structlog records to stdout in the same shape.

    `config` has `level`, `format` (json or console) and `role`.
    """
    shared = _shared_processors(config["role"])
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[config["level"]]
        ),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = handler_of(config["role"])
    handler.setFormatter(_formatter(config["format"], shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config["level"])
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Django logs every refusal, which strangers may repeat without end. Our own code logs its
    # refusals where it makes them. Faults of the server keep their line.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    logging.getLogger("django.security").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)


def bound(**context: object) -> AbstractContextManager[Any]:
    """Bind names (see CONTEXT_NAMES) to every record made inside the block."""
    return structlog.contextvars.bound_contextvars(**context)


def handler_of(role: str) -> logging.Handler:
    """Return the handler that writes the log of a role."""
    return WriterHandler(sys.stdout) if role in LONG_RUNNING else logging.StreamHandler(sys.stdout)


def log_flush() -> None:
    """Wait a moment until the log is written; for processes that end without exit handlers."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def _shared_processors(role: str) -> list[Any]:
    def add_role(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["role"] = role
        return event

    return [
        structlog.contextvars.merge_contextvars,
        add_role,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]


def _request_shorten(
    _: Any, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Shorten the request in Django's own records, as a client may make its address long."""
    if "request" in event:
        event["request"] = repr(event["request"])[:REQUEST_CHARS_MAX]
    return event


def _formatter(form: str, shared: list[Any]) -> logging.Formatter:
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=False)
        if form == "console"
        else structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    )
    last = [] if form == "console" else [structlog.processors.format_exc_info]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _request_shorten, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *last,
            renderer,
        ],
    )
