"""Run one limit order that trades through all roles in this process: web, matching, settlement."""

import asyncio
import threading
from typing import Any, Final

from django.core.handlers.wsgi import WSGIHandler

from config.resources import RESOURCES
from exchange.access.principals import principals_forget
from exchange.infra.redis import FEED_CHANNEL, redis_client
from exchange.realtime.frames import decode_frames
from exchange.selectors import catalogue_forget
from exchange.web.door import Door
from orders.intake.process import intake_stop
from orders.management.commands.run_matching import PARTITION_DEFAULT, MatchingProcess, Stop
from orders.recovery.availability import served_forget
from orders.settlement.task import connection_close, settle_partition
from risk.limits.open_orders import order_limits_forget
from tests.factories.door import scope_of
from tests.factories.models import SymbolFactory
from tests.factories.trading import JSON, Trader, encode, order_body, trader_make
from tests.lab.walk.recorder import Recorder
from tests.waiting import HANG_S

ORDERS: Final = "/api/v1/orders"
CREATED: Final = 201


class Turns(Stop):
    """A Stop that lets the loop of a matching worker run one turn for each call of `take`."""

    def __init__(self) -> None:
        self._go_on = threading.Semaphore(0)
        self._asked = threading.Semaphore(0)
        self._is_over = False

    @property
    def is_set(self) -> bool:  # type: ignore[override]  # the loop asks before every turn
        self._asked.release()
        assert self._go_on.acquire(timeout=HANG_S)
        return self._is_over

    def take(self) -> None:
        """Wait until the loop asks whether to stop, then let it run one turn."""
        assert self._asked.acquire(timeout=HANG_S)
        self._go_on.release()

    def wait(self) -> None:
        """Wait until the loop asks again: its last turn has ended."""
        assert self._asked.acquire(timeout=HANG_S)
        self._asked.release()

    def end(self) -> None:
        self._is_over = True
        self._go_on.release()


class Exchange:
    """The roles of an exchange. Requests and tasks run in this thread, matching in its own."""

    def __init__(self) -> None:
        self._door = Door(WSGIHandler(), threads=1, resources=RESOURCES)
        self._turns = Turns()
        process = MatchingProcess(PARTITION_DEFAULT, self._turns)
        self._matching = threading.Thread(target=process.run, name="matching")
        self._matching.start()
        self._turn()  # before its first turn the worker takes the lease
        self._feed = redis_client().pubsub(ignore_subscribe_messages=True)
        self._feed.subscribe(FEED_CHANNEL)
        self._feed.get_message(timeout=HANG_S)

    def place(self, trader: Trader, **terms: Any) -> None:
        """Send a limit order, match it and settle it."""
        asyncio.run(self._send(trader, encode(order_body(**terms))))
        self._turn()
        settle_partition(PARTITION_DEFAULT)

    def balances_told(self) -> bool:
        """Tell whether the feed has published balances since the last call."""
        told = b""
        while message := self._feed.get_message(timeout=0):
            told += b"".join(body for _, body in decode_frames(message["data"]))
        return b'"balances"' in told

    def stop(self) -> None:
        self._turns.end()
        self._matching.join(HANG_S)
        intake_stop()
        connection_close()

    def _turn(self) -> None:
        self._turns.take()
        self._turns.wait()

    async def _send(self, trader: Trader, body: bytes) -> None:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        headers = {"Host": "127.0.0.1", **trader.headers("POST", ORDERS, body)}
        await self._door(scope_of("POST", ORDERS, body, JSON, headers), receive, send)
        assert sent[0]["status"] == CREATED, sent


def walk(recorder: Recorder) -> None:
    """Record an order that trades against a resting order.

    All copies that the process keeps for seconds are dropped first: their age would be random, and
    with it whether the order's code reads the database.
    """
    SymbolFactory.create(code="BTC-USDT")
    ada, boris = trader_make("ada"), trader_make("boris")
    exchange = Exchange()
    try:
        exchange.place(ada, side="buy", price="90")  # starts all that a first order starts
        exchange.place(boris, side="sell", price="100")
        exchange.balances_told()
        _copies_forget()
        with recorder.recording():
            exchange.place(ada, side="buy", price="100")
        assert exchange.balances_told()
    finally:
        exchange.stop()


def _copies_forget() -> None:
    for forget in (principals_forget, catalogue_forget, served_forget, order_limits_forget):
        forget()
