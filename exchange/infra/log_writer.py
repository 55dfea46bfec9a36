"""A log handler that writes in a thread of its own, so that logging never waits for a reader.

A full pipe (a terminal that is held, a log driver that stands still) blocks the thread that writes
to it. An event loop that wrote the log would then stop all requests of its process.
"""

import io
import logging
import os
import threading
import time
from queue import SimpleQueue
from typing import Final, TextIO

from exchange.infra.metrics import LOG_LINES_DROPPED

LINES_MAX: Final = 10_000  # waiting to be written; further ones are dropped and counted
FLUSH_S: Final = 1.0  # longest wait at the end of a process
_POLL_S: Final = 0.005


class WriterHandler(logging.Handler):
    """Formats a record in the thread that logs it, and queues the line for the thread that writes.

    The first record starts that thread, so that it lives in the process that logs and not in the
    process from which that one was forked.
    """

    def __init__(self, stream: TextIO, *, lines_max: int = LINES_MAX) -> None:
        super().__init__()
        self._stream = stream
        self._lines_max = lines_max
        self._starting = threading.Lock()
        self._begin(process=0)

    def createLock(self) -> None:
        """Make no lock: the queue has its own, which no thread holds while it waits."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line, or count it as dropped where too many lines wait."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if self._process != os.getpid():
            self._start()
        with self._counting:  # no thread waits while it holds this lock
            is_full = self.waiting >= self._lines_max
            if not is_full:
                self._taken += 1
                self._queue.put(f"{line}\n")
        if is_full:
            LOG_LINES_DROPPED.inc()

    @property
    def waiting(self) -> int:
        """The number of lines that are not written yet."""
        return self._taken - self._written

    def flush(self) -> None:
        """Wait until all lines are written, for FLUSH_S at most: there may be no reader."""
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
        self._counting = threading.Lock()
        self._queue: SimpleQueue[str] = SimpleQueue()
        self._taken = self._written = 0
        self._process = process  # last: other threads use the values above from now on

    def _run(self) -> None:
        stream = _stream_of_its_own(self._stream)
        while True:
            line = self._queue.get()
            try:
                stream.write(line)
                if self._queue.empty():
                    stream.flush()
            except (OSError, ValueError):  # the reader has gone, so no line can report it
                LOG_LINES_DROPPED.inc()
            self._written += 1


def _stream_of_its_own(stream: TextIO) -> TextIO:
    """Return a new stream to the same file, with a lock that no parent process holds.

    A parent may hold the lock of its own stream at the fork, while it waits for a reader.
    """
    try:
        number = stream.fileno()
    except io.UnsupportedOperation:  # the stream has no file
        return stream
    return open(number, "w", encoding=stream.encoding, errors=stream.errors, closefd=False)
