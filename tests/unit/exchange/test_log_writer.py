"""The log of a role that runs on: nobody waits for its reader, and what is too much is counted."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from fcntl import F_GETPIPE_SZ, fcntl, ioctl
from select import select
from termios import FIONREAD
from typing import TextIO

import pytest
from prometheus_client import REGISTRY

from exchange.infra.log_writer import WriterHandler
from exchange.infra.logging import handler_of
from tests.waiting import HANG_S, wait_until

LINES_MAX = 100
LONG = "x" * 10_000
POLL_S = 0.05
ENDED = os.WEXITED | os.WNOWAIT | os.WNOHANG


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


def test_a_process_forked_while_its_parent_waits_for_a_reader_has_a_log(
    pipe: tuple[int, TextIO],
) -> None:
    """The workers of a pool are forked at any time, also while nobody reads the log."""
    reading, stream = pipe
    handler = WriterHandler(stream, lines_max=LINES_MAX)
    for _ in range(LINES_MAX):
        handler.handle(record(LONG))
    wait_until(lambda: is_full(reading))  # the writer waits for a reader
    child = os.fork()
    if child == 0:
        handler.handle(record("of the child"))
        for _ in range(int(HANG_S)):  # one second each, at most
            handler.flush()
        os._exit(0)
    text = b""
    with open(reading, "rb", buffering=0) as reader:
        while b"of the child" not in text and os.waitid(os.P_PID, child, ENDED) is None:
            text += reader.read(1_000_000) if select([reader], [], [], POLL_S)[0] else b""
        handler.flush()
        while select([reader], [], [], 0)[0]:
            text += reader.read(1_000_000)
    os.waitpid(child, 0)
    assert b"of the child\n" in text


def is_full(pipe: int) -> bool:
    """Whether a pipe takes no other long line."""
    held = int.from_bytes(ioctl(pipe, FIONREAD, bytes(4)), sys.byteorder)
    return held > fcntl(pipe, F_GETPIPE_SZ) - len(LONG)


@pytest.mark.parametrize("role", ["web", "ws", "matching", "worker", "beat"])
def test_no_role_that_runs_on_waits_for_the_reader_of_its_log(role: str) -> None:
    assert isinstance(handler_of(role), WriterHandler)


def test_a_command_writes_its_log_itself() -> None:
    assert not isinstance(handler_of("command"), WriterHandler)
