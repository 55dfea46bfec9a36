"""The API's tests: every one is run both ways, by a thread and on the event loop.

Imports are inside: this file is read before Django is set up.
"""

import pytest


@pytest.fixture(autouse=True)
def fresh(fresh_process: None) -> None:
    """Every test here begins with a process that keeps nothing."""


@pytest.fixture(autouse=True, params=["thread", "loop"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which way the traders' requests are answered: every test of the API is run on both.

    A test of statements watches the connection of its own thread, so it stays there.
    """
    from tests.factories import trading
    from tests.factories.door import DoorClient

    if request.param == "loop" and request.node.get_closest_marker("own_connection") is None:
        monkeypatch.setattr(trading, "Client", DoorClient)
    return str(request.param)
