"""Crowded connections: whoever holds most gives way, the longest silent first."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from exchange.infra.http.connections import fair_share, shed
from tests.waiting import HANG_S, wait_until

CROWDED, CALM = 30, 20


@pytest.mark.parametrize(
    ("held", "total", "share"),
    [
        ({"a": 5, "b": 3}, 20, 5),
        ({"a": 100, "b": 3}, 20, 17),
        ({"a": 100, "b": 50, "c": 4}, 20, 8),
        ({"a": 10, "b": 10}, 5, 2),
        ({str(number): 2 for number in range(50)}, 20, 1),
        ({}, 20, 1),
    ],
)
def test_a_fair_share_leaves_small_holders_all_they_have(
    held: dict[str, int], total: int, share: int
) -> None:
    assert fair_share(held, total) == share


class Place:
    """A listening socket of this process, and the clients that are connected to it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        self.port: int = self.listener.getsockname()[1]

    def client(self, address: str) -> socket.socket:
        client = self._stack.enter_context(
            socket.create_connection(
                ("127.0.0.1", self.port), timeout=HANG_S, source_address=(address, 0)
            )
        )
        served, _ = self.listener.accept()
        self._stack.enter_context(served)
        served.settimeout(HANG_S)
        client.sendall(b"x")
        assert served.recv(1) == b"x"
        return client


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(stack)


def is_open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True


def test_the_largest_network_loses_what_is_beyond_its_share_and_others_nothing(
    place: Place,
) -> None:
    many = [place.client("127.0.0.2") for _ in range(40)]
    few = [place.client("127.0.0.3") for _ in range(5)]
    assert shed(crowded=CROWDED, calm=CALM, not_ports=()) == 40 - (CALM - 5)
    wait_until(lambda: sum(map(is_open, many)) == CALM - 5)
    assert all(map(is_open, few))


def test_where_there_is_room_nobody_loses_anything(place: Place) -> None:
    clients = [place.client("127.0.0.2") for _ in range(CROWDED - 1)]
    assert shed(crowded=CROWDED, calm=CALM, not_ports=()) == 0
    assert all(map(is_open, clients))


def test_another_port_of_the_process_is_left_alone(place: Place) -> None:
    clients = [place.client("127.0.0.2") for _ in range(CROWDED + 1)]
    assert shed(crowded=CROWDED, calm=CALM, not_ports={place.port}) == 0
    assert all(map(is_open, clients))
