"""Measure what heavy pages cost orders, in the same web process and in a process apart."""

import asyncio
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from config.env import child_environment
from config.stack.roles import ALL, Layout, Probe, exchange_roles
from config.stack.state import ports_free
from exchange.models import User
from tests.lab.bench.load_generator import LoadPlan, LoadResult, Phase
from tests.lab.bench.whole import WholeOptions, Write, load_plan, load_run
from tests.lab.clients.visitor import Visitor

RATE: Final = 200.0  # orders a second where no rate is asked for
READERS: Final = 4
PAGES: Final = ("/admin/orders/order/", "/admin/exchange/user/", "/api/schema", "/admin/")
NICE: Final = ("nice", "-n", "10")
WORD: Final = "bench horse staple"
READY_SECONDS: Final = 120.0
WARM_SECONDS: Final = 3.0


class Readers:
    """Staff who ask for one heavy page after another until the block ends."""

    def __init__(self, visitors: Sequence[Visitor]) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(one,), daemon=True) for one in visitors
        ]
        self._statuses: list[int] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def pages(self) -> int:
        """Pages that came."""
        return self._statuses.count(200)

    @property
    def refused(self) -> int:
        """Pages that did not come."""
        return len(self._statuses) - self.pages

    def _read(self, visitor: Visitor) -> None:
        for path in cycle(PAGES):
            if self._stop.is_set():
                return
            self._statuses.append(visitor.get(path)[0])


class Run(msgspec.Struct):
    """One load of orders, and the pages that came meanwhile."""

    name: str
    load: LoadResult
    pages: int = 0
    refused: int = 0

    def line(self) -> str:
        load = self.load
        return (
            f"{self.name:<32}{load.accepted / load.seconds:>7,.0f} orders/s, p50 {load.p50_ms:.1f},"
            f" p99 {load.p99_ms:.1f} ms, {load.errors} errors;"
            f" {self.pages / load.seconds:.0f} pages/s, {self.refused} refused"
        )


@dataclass(frozen=True, slots=True)
class AreasResult:
    """The same orders alone, beside pages of the same process, and beside those of another."""

    alone: Run
    together: Run
    apart: Run

    def lines(self) -> list[str]:
        """Return the table of the runs, and their ratios to the first."""
        alone, together, apart = (run.load for run in (self.alone, self.together, self.apart))

        def ratio(load: LoadResult) -> str:
            p50, p99 = (load.p50_ms / max(alone.p50_ms, 0.1), load.p99_ms / max(alone.p99_ms, 0.1))
            return f"{p50:.2f} of p50, {p99:.2f} of p99"

        return [
            *(run.line() for run in (self.alone, self.together, self.apart)),
            f"to orders alone: in one process {ratio(together)}; apart {ratio(apart)}",
        ]

    @property
    def is_good(self) -> bool:
        runs = (self.alone, self.together, self.apart)
        return all(run.load.errors == 0 for run in runs) and self.apart.pages > 0


def areas(options: WholeOptions, write: Write) -> AreasResult:
    """Run the same open loop three times on one symbol."""
    (symbol,), plan = load_plan(options)
    plan.phases = [Phase(options.seconds, options.rate or RATE)]
    names = _staff_make()
    with _web("all") as everything, _web("api") as api, _web("pages", NICE) as pages:
        write(f"three times {options.seconds:.0f} s on {symbol.code}")
        for url in (everything, api):
            warm = [Phase(WARM_SECONDS, RATE)]
            load_run(msgspec.structs.replace(plan, url=url, mark=f"w{url[-5:]}", phases=warm))
        alone = Run("orders alone", load_run(_at(plan, everything, "alone")))
        together = _among("beside pages, in one process", _at(plan, everything, "one"), names)
        apart = _among("beside pages apart", _at(plan, api, "two"), names, pages)
    return AreasResult(alone, together, apart)


def _at(plan: LoadPlan, url: str, mark: str) -> LoadPlan:
    return msgspec.structs.replace(plan, url=url, mark=mark)


def _among(name: str, plan: LoadPlan, names: Sequence[str], pages: str = "") -> Run:
    visitors = [Visitor(pages or plan.url) for _ in names]
    for visitor, staff in zip(visitors, names, strict=True):
        visitor.sign_in(staff, WORD)
    with Readers(visitors) as readers:
        load = load_run(plan)
    return Run(name, load, readers.pages, readers.refused)


def _staff_make() -> list[str]:
    names = [f"bench-staff-{number}" for number in range(READERS)]
    for name in names:
        User.objects.create_superuser(name, password=WORD)
    return names


@contextmanager
def _web(serves: str, before: Sequence[str] = ()) -> Iterator[str]:
    """Start a web process for an area on this stack; yield its address when it is ready."""
    port, ws_port, health_port = ports_free(3)
    with tempfile.TemporaryDirectory(prefix="takas-web-") as folder:
        ports = dict.fromkeys(ALL, health_port)
        layout = Layout(Path(folder), "127.0.0.1", port, ws_port, ports)
        role = {one.name: one for one in exchange_roles(layout, web_workers=1)}["web"]
        environment = {**role.environment, "WEB_SERVES": serves}
        process = subprocess.Popen(
            [*before, *role.command], env=child_environment(environment), stdout=subprocess.DEVNULL
        )
        try:
            asyncio.run(_ready(role.is_ready, process))
            yield layout.url
        finally:
            process.send_signal(role.stop_signal)
            process.wait(role.stop_seconds)


async def _ready(is_ready: Probe | None, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    assert is_ready is not None
    while not await is_ready():
        assert process.poll() is None, "a web process ended at its start"
        assert time.monotonic() < deadline, "a web process did not become ready"
        await asyncio.sleep(0.1)
