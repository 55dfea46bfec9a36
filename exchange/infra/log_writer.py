"""Writes the log from a thread of its own, so that whoever logs never waits for who reads.

A pipe that nobody empties (a terminal that is held, a log driver that stands still) blocks whoever
writes to it; an event loop that did would stop all requests of its process.
"""

import logging
import os
import threading
import time
from queue import SimpleQueue
from typing import Final, TextIO

from exchange.infra.metrics import LOG_LINES_DROPPED

LINES_MAX: Final = 10_000  # waiting to be written; what is beyond is dropped and counted
FLUSH_S: Final = 1.0  # at the end of a process
_POLL_S: Final = 0.005


class WriterHandler(logging.Handler):
    """Formats a record where it is made, and leaves the line to the thread that writes.

    The thread is started by the first record, so that it lives in the process that logs, not in one
    that forked.
    """

    def __init__(self, stream: TextIO, *, lines_max: int = LINES_MAX) -> None:
        super().__init__()
        self._stream = stream
        self._lines_max = lines_max
        self._starting = threading.Lock()
        self._begin(process=0)

    def createLock(self) -> None:
        """None is needed: a queue has its own, and nobody waits with it in hand."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line, or count it where too many are waiting."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if self._process != os.getpid():
            self._start()
        with self._counting:  # nobody waits for anything with this in hand
            is_full = self.waiting >= self._lines_max
            if not is_full:
                self._taken += 1
                self._queue.put(f"{line}\n")
        if is_full:
            LOG_LINES_DROPPED.inc()

    @property
    def waiting(self) -> int:
        """Lines that are not written yet."""
        return self._taken - self._written

    def flush(self) -> None:
        """Wait until all is written, but not for ever: nobody may be reading."""
        end = time.monotonic() + FLUSH_S
        while self._process == os.getpid() and self.waiting:
            if time.monotonic() > end:
                return
            time.sleep(_POLL_S)

    def _start(self) -> None:
        with self._starting:
            if self._process != os.getpid():
                self._begin(os.getpid())
                threading.Thread(target=self._run, name="log", daemon=True).start()

    def _begin(self, process: int) -> None:
        self._process = process
        self._counting = threading.Lock()
        self._queue: SimpleQueue[str] = SimpleQueue()
        self._taken = self._written = 0

    def _run(self) -> None:
        while True:
            line = self._queue.get()
            try:
                self._stream.write(line)
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # who read has gone: there is nobody to tell
                LOG_LINES_DROPPED.inc()
            self._written += 1
