"""A database or Redis of one test run, started without the supervisor."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config.stack.servers import Server, ServerUnavailable
from tests.waiting import START_S, wait_until

STOP_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class Running:
    """A started server; `stop` ends it and waits."""

    server: Server
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Ask the server to end, and kill it if it does not."""
        if self.process.poll() is None:
            self.process.send_signal(self.server.stop_signal)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def server_start(server: Server, log: Path) -> Running:
    """Start a server and wait until it answers, or raise ServerUnavailable with its last words."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            server.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            process_group=0,
        )

    def is_ready() -> bool:
        if process.poll() is not None:
            last_words = log.read_text(errors="replace")[-2_000:]
            raise ServerUnavailable(f"{server.name} did not start:\n{last_words}")
        return server.is_ready()

    running = Running(server, process)
    try:
        wait_until(is_ready, f"{server.name} answers", seconds=START_S)
    except BaseException:
        running.stop()
        raise
    return running
