"""Many actors spend one balance: exactly what it can pay for is accepted (L4, L5)."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from django.db import connection, connections
from django.db.models import Sum

from exchange.models import Symbol
from orders.models import ClientOrderId, Order
from tests.factories.trading import Trader, decoded, fast_tier, trader_make
from tests.waiting import HANG_S
from wallets.models import Balance, Reservation

PARALLEL = 50


def test_fifty_orders_on_one_balance_exactly_the_affordable_succeed(symbol: Symbol) -> None:
    # An order reserves 100 and a fee of 0.1: 20 of them fit into 2,010.
    ada = trader_make("ada", funds={"USDT": 2_010}, tier=fast_tier())

    def place(_: int) -> str:
        try:
            response = ada.place()
            return "accepted" if response.status_code == 201 else decoded(response)["code"]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(PARALLEL) as pool:
        outcomes = Counter(pool.map(place, range(PARALLEL)))
    assert outcomes == {"accepted": 20, "funds.insufficient": 30}
    assert ada.balance("USDT") == (Decimal("8"), Decimal("2002"))
    assert Order.objects.count() == ClientOrderId.objects.count() == 20
    held = Reservation.objects.aggregate(Sum("amount"))["amount__sum"]
    assert held == Decimal("2002")


def test_an_order_on_a_locked_balance_does_not_hold_up_its_neighbour(
    ada: Trader, boris: Trader
) -> None:
    ada.place()  # warm up, so that only the lock is waited for
    locker = connection.copy()
    try:
        with locker.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "SELECT 1 FROM wallets_balance WHERE account_id = %s FOR UPDATE", [ada.account_id]
            )
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(_place_and_close, ada)
                assert boris.place().status_code == 201
                assert not waiting.done()
                cursor.execute("COMMIT")
                assert waiting.result(timeout=HANG_S) == 201
    finally:
        locker.close()


def _place_and_close(trader: Trader) -> int:
    try:
        return trader.place().status_code
    finally:
        connections.close_all()


def test_two_processes_intakes_do_not_deadlock_on_shared_accounts(symbol: Symbol) -> None:
    """Two intakes, each with the accounts in another order: all orders come through."""
    from exchange.domain.ids import IdGenerator
    from exchange.infra.database import connect
    from orders.intake.thread import Intake
    from tests.factories.market import Market, MemoryPublisher, market_make

    ids = [IdGenerator(node, _now_ms) for node in (1, 2)]
    market: Market = market_make(ids=ids[0], accounts=4)
    intakes = [
        Intake(
            open_connection=lambda: connect("test-intake"),
            publisher=MemoryPublisher(),
            next_id=one.next_id,
        )
        for one in ids
    ]
    from exchange.domain.enums import Side

    def run(number: int) -> None:
        account = number % 4 if number % 2 else 3 - number % 4
        side = Side.BUY if number % 3 else Side.SELL
        intakes[number % 2].submit(market.place_job(account, side, 1, 100))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(run, range(200)))
    for one in intakes:
        one.stop()
    assert Order.objects.count() == 200
    assert Reservation.objects.count() == 200
    for balance in Balance.objects.filter(account_id__in=market.account_ids):
        held = Reservation.objects.filter(
            account_id=balance.account_id, asset_id=balance.asset_id
        ).aggregate(total=Sum("amount"))["total"]
        assert balance.reserved == (held or 0)


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000
