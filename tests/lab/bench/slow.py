"""Measure what slow senders cost other clients: the same load without and with slow senders."""

import selectors
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from config.demo.client import address_of
from tests.lab.bench.load_generator import LoadResult, Phase
from tests.lab.bench.whole import WholeOptions, Write, load_plan, load_run

SENDERS: Final = 200
PAUSE_SECONDS: Final = 1.0  # before a sender opens its next connection


class SlowSenders:
    """Connections that send a head and one byte of the body; a closed one is opened again."""

    def __init__(self, url: str, number: int) -> None:
        self._address = address_of(url)
        self._number = number
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slow-senders", daemon=True)
        self.opened = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for _ in range(self._number):
                selector.register(self._open(), selectors.EVENT_READ)
            while not self._stop.wait(PAUSE_SECONDS):
                for key, _ in selector.select(0):
                    self._again(selector, key.fileobj)
            for key in list(selector.get_map().values()):
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()

    def _again(self, selector: selectors.BaseSelector, ended: Any) -> None:
        selector.unregister(ended)
        ended.close()
        selector.register(self._open(), selectors.EVENT_READ)

    def _open(self) -> socket.socket:
        sender = socket.create_connection(self._address)
        stamp_ms = time.time_ns() // 1_000_000
        sender.sendall(
            b"POST /api/v1/orders HTTP/1.1\r\nHost: %b\r\nX-Takas-Key: tk_aaaaaaaaaa\r\n"
            b"X-Takas-Timestamp: %d\r\nX-Takas-Signature: %b\r\nContent-Length: 1000\r\n\r\n{"
            % (self._address[0].encode(), stamp_ms, b"0" * 64)
        )
        self.opened += 1
        return sender


@dataclass(frozen=True, slots=True)
class SlowResult:
    """The results of the same load alone and among slow senders."""

    alone: LoadResult
    among: LoadResult
    opened: int

    def lines(self) -> list[str]:
        """Return the table of both runs, and their ratios."""

        def line(name: str, load: LoadResult) -> str:
            rate = load.accepted / load.seconds
            return (
                f"{name:<16}{rate:>8,.0f} orders/s, p50 {load.p50_ms:.1f}, p99 {load.p99_ms:.1f}"
                f" ms, {load.errors} errors"
            )

        alone, among = self.alone, self.among
        return [
            line("alone", alone),
            line(f"{SENDERS} slow ones", among),
            f"{'ratio':<16}{among.accepted / max(alone.accepted, 1):>8.2f} of the rate,"
            f" {among.p99_ms / max(alone.p99_ms, 0.1):.2f} of p99 ({self.opened} slow requests)",
        ]

    @property
    def is_good(self) -> bool:
        return self.alone.errors == self.among.errors == 0


def slow(options: WholeOptions, write: Write) -> SlowResult:
    """Run the load twice on one symbol: alone, then among slow senders."""
    (symbol,), plan = load_plan(options)
    # A first run makes the web process read the API keys.
    load_run(msgspec.structs.replace(plan, mark="warm", phases=[Phase(2.0)]))
    write(f"twice {options.seconds:.0f} s on {symbol.code}, {options.connections} connections")
    alone = load_run(msgspec.structs.replace(plan, mark="alone"))
    with SlowSenders(options.url, SENDERS) as senders:
        among = load_run(msgspec.structs.replace(plan, mark="among"))
    return SlowResult(alone, among, senders.opened)
