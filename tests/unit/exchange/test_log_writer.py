"""The log of an event loop: nobody waits for its reader, and what is too much is counted."""

import logging
import os
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest
from prometheus_client import REGISTRY

from exchange.infra.log_writer import WriterHandler
from exchange.infra.logging import ON_LOOP, handler_of
from tests.waiting import HANG_S, wait_until

LINES_MAX = 100
LONG = "x" * 10_000


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """An end to read, and a stream that blocks when nobody reads."""
    reading, writing = os.pipe()
    with open(writing, "w", buffering=1) as stream:
        yield reading, stream


def dropped() -> float:
    return REGISTRY.get_sample_value("takas_log_lines_dropped_total") or 0.0


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("test", logging.INFO, __file__, 1, text, None, None)


def test_a_log_that_nobody_reads_holds_nobody_and_is_bounded(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    handler, before = WriterHandler(stream, lines_max=LINES_MAX), dropped()
    logged = threading.Event()

    def log() -> None:
        for at in range(LINES_MAX * 5):
            handler.handle(record(f"{at} {LONG}"))
        logged.set()

    threading.Thread(target=log, daemon=True).start()
    assert logged.wait(HANG_S), "the log was waited for"
    lost = dropped() - before
    assert lost >= LINES_MAX * 3
    with open(reading) as reader:
        read = [reader.readline() for _ in range(int(LINES_MAX * 5 - lost))]
        assert [int(line.split()[0]) for line in read] == sorted(
            int(line.split()[0]) for line in read
        )
        handler.handle(record("goes on"))
        assert reader.readline() == "goes on\n"
        wait_until(lambda: handler.waiting == 0)


def test_what_was_logged_is_written_when_the_process_ends(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    handler = WriterHandler(stream)
    for at in range(50):
        handler.handle(record(str(at)))
    handler.flush()
    assert os.read(reading, 10_000).decode().split() == [str(at) for at in range(50)]
    os.close(reading)


@pytest.mark.parametrize("role", ["web", "ws", "matching", "worker", "beat", "command"])
def test_roles_that_a_loop_serves_write_so(role: str) -> None:
    assert isinstance(handler_of(role), WriterHandler) == (role in ON_LOOP)
