"""One order by its client order id: read and cancelled as by its own id."""

import pytest

from matching.engine.messages import Cancel
from tests.api.test_batches import commands_sent, refusal
from tests.factories.trading import NOTHING_YET, Trader, decoded, order_body


@pytest.mark.parametrize("name", ["mine", "a.b_c:d-e", "fills", "cancel-after", "x" * 64])
def test_an_order_reads_and_is_cancelled_by_its_client_id(ada: Trader, name: str) -> None:
    placed = decoded(ada.place(client_order_id=name))
    ada.place()
    path = f"/orders/by-client-id/{name}"
    assert decoded(ada.get(path)) == {**placed, **NOTHING_YET}
    response = ada.send("DELETE", path)
    assert response.status_code == 202
    sent = decoded(response)
    assert {**placed, "command_id": sent["command_id"]} == sent
    cancels = [one for one in commands_sent() if isinstance(one, Cancel)]
    assert [(str(one.command_id), str(one.order_id)) for one in cancels] == [
        (sent["command_id"], placed["id"])
    ]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("name", ["foreign", "nobody", "a%20b", "x" * 65])
def test_an_id_that_no_order_of_the_account_has_is_not_found(
    ada: Trader, boris: Trader, method: str, name: str
) -> None:
    boris.send("POST", "/orders", order_body(client_order_id="foreign"))
    response = ada.send(method, f"/orders/by-client-id/{name}")
    assert refusal(response)[:2] == (404, "order.not_found")
    assert not [one for one in commands_sent() if isinstance(one, Cancel)]
