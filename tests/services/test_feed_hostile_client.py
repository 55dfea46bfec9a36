"""Feed clients that send too much, over real daphne and real TCP."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from exchange.realtime.connection_limits import SOCKETS_PER_NETWORK_MAX
from exchange.realtime.protocol import MESSAGES_BURST, REFUSED_MESSAGES_MAX, CloseCode
from tests.factories.models import SymbolFactory
from tests.services.test_feed_slow_client import daphne
from tests.waiting import HANG_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

TOO_LARGE = 1009  # WebSocket's own code
PING = json.dumps({"op": "ping"})
SUBSCRIBE = json.dumps({"op": "subscribe", "channels": ["BTC-USDT@trade"]})


def ends_with(client: ClientConnection) -> int | None:
    """How the server ended it; frames before that are read and forgotten."""
    while True:
        try:
            client.recv(timeout=30)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


@contextmanager
def listening(url: str) -> Iterator[ClientConnection]:
    """A client that has subscribed at once: none of them is idle, however slow the machine is."""
    with connect(url, open_timeout=HANG_S) as client:
        with suppress(ConnectionClosed):
            client.send(SUBSCRIBE)
        yield client


def answers(client: ClientConnection) -> bool:
    """Whether the server has a place for this client."""
    try:
        client.send(PING)
        while "pong" not in str(client.recv(timeout=30)):
            pass
    except ConnectionClosed as closed:
        return closed.rcvd is not None and closed.rcvd.code != CloseCode.TOO_MANY_SOCKETS
    return True


def test_too_much_ends_the_connection_and_nobody_elses() -> None:
    SymbolFactory.create(code="BTC-USDT")
    with daphne() as port:
        url = f"ws://127.0.0.1:{port}/ws"
        with connect(url, open_timeout=HANG_S) as good:
            with connect(url, open_timeout=HANG_S) as large:
                with suppress(ConnectionClosed):  # perhaps in the middle of it
                    large.send("x" * 1_000_000)
                assert ends_with(large) == TOO_LARGE
            with connect(url, open_timeout=HANG_S) as pieces:
                with suppress(ConnectionClosed):
                    pieces.send("x" * 1_000 for _ in range(1_000))
                assert ends_with(pieces) == TOO_LARGE
            with connect(url, open_timeout=HANG_S) as flood:
                with suppress(ConnectionClosed):
                    for _ in range(MESSAGES_BURST + 10 * REFUSED_MESSAGES_MAX):
                        flood.send(PING)
                assert ends_with(flood) in (CloseCode.TOO_MANY_MESSAGES, None)
            with pytest.raises(InvalidStatus) as refused:
                connect(f"{url}x", open_timeout=HANG_S)
            assert refused.value.response.status_code == 403
            assert answers(good)


def test_one_address_takes_no_more_than_its_places() -> None:
    SymbolFactory.create(code="BTC-USDT")
    with daphne() as port, ExitStack() as stack:
        url = f"ws://127.0.0.1:{port}/ws"
        wanted = SOCKETS_PER_NETWORK_MAX + 20
        clients = [stack.enter_context(listening(url)) for _ in range(wanted)]
        outcomes = [answers(client) for client in clients]
        assert outcomes.count(True) == SOCKETS_PER_NETWORK_MAX
