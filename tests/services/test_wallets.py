"""wallets.services: accounts opened once, funds deposited once (L7), rows locked in one order."""

import threading
from decimal import Decimal

import psycopg
import pytest

from exchange.domain.units import NotExact
from exchange.infra.database import connect
from tests.factories.ledger import Rig
from tests.factories.models import UserFactory, accounts_at
from wallets.locks import (
    RESERVATIONS_LOCKED,
    balances_apply,
    balances_create_missing,
    reservations_locked,
)
from wallets.models import Account, Balance, Entry, Journal
from wallets.postings import BalanceChange
from wallets.selectors import account_id_of, balance_json, balances_of
from wallets.services import JournalKeyConflict, account_open, funds_deposit

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal


@pytest.fixture
def rig(transactional_db, base_rows):
    with connect("test-wallets") as connection:
        yield Rig(connection)


def test_account_is_opened_once(rig):
    user = UserFactory.create(username="ada")
    assert account_id_of(user.pk) is None
    account = account_open(user_id=user.pk)
    assert account_open(user_id=user.pk).pk == account.pk
    assert account_id_of(user.pk) == account.pk
    assert account.kind == "user"


def test_deposit_credits_the_account_from_the_outside_world(rig):
    account = rig.trader()
    made = funds_deposit(account_id=account, asset_id=rig.quote_id, amount=D("12.5"), key="d-1")
    assert made is True
    assert rig.balance(account, rig.quote_id) == (D("12.5"), 0)
    external = Account.objects.get(kind="external")
    balance = Balance.objects.get(account=external, asset_id=rig.quote_id)
    assert (balance.available, balance.may_be_negative) == (D("-12.5"), True)
    journal = Journal.objects.get()
    assert (journal.key, journal.kind) == ("d-1", "deposit")
    lines = Entry.objects.order_by("amount").values_list("journal_id", "account_id", "amount")
    assert list(lines) == [
        (journal.pk, external.pk, D("-12.5")),
        (journal.pk, account, D("12.5")),
    ]


def test_same_deposit_again_changes_nothing(rig):
    account = rig.trader()
    terms = {"account_id": account, "asset_id": rig.quote_id, "amount": D(5), "key": "d-1"}
    assert funds_deposit(**terms) is True
    assert funds_deposit(**terms) is False
    assert rig.balance(account, rig.quote_id) == (D(5), 0)
    assert Entry.objects.count() == 2


def test_key_of_another_deposit_is_refused(rig):
    account = rig.trader()
    terms = {"account_id": account, "asset_id": rig.quote_id, "amount": D(5), "key": "d-1"}
    funds_deposit(**terms)
    for other in ({"amount": D(6)}, {"account_id": rig.trader()}, {"asset_id": rig.base_id}):
        with pytest.raises(JournalKeyConflict):
            funds_deposit(**(terms | other))
    assert rig.balance(account, rig.quote_id) == (D(5), 0)


def test_parallel_deposits_with_one_key_have_one_effect(rig):
    account = rig.trader()
    made = []

    def deposit():
        from django.db import connection as own

        try:
            made.append(
                funds_deposit(account_id=account, asset_id=rig.quote_id, amount=D(5), key="d-1")
            )
        finally:
            own.close()

    threads = [threading.Thread(target=deposit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 7 + [True]
    assert rig.balance(account, rig.quote_id) == (D(5), 0)


def test_amount_finer_than_the_asset_is_refused(rig):
    with pytest.raises(NotExact):
        funds_deposit(
            account_id=rig.trader(), asset_id=rig.quote_id, amount=D("0.000000001"), key="d-1"
        )
    assert Journal.objects.count() == 0


def test_balances_are_shown_by_asset(rig):
    account = rig.trader(base="1", quote="10.50")
    assert [balance_json(view) for view in balances_of(account)] == [
        {"asset": "BTC", "available": "1", "reserved": "0", "sequence": 1},
        {"asset": "USDT", "available": "10.5", "reserved": "0", "sequence": 1},
    ]


def test_changes_of_the_same_balances_in_any_order_never_deadlock(rig):
    """Two writers name the same rows in opposite order, many times."""
    keys = [(rig.trader(), rig.quote_id) for _ in range(6)]
    balances_create_missing(rig.connection, keys)
    failures = []

    def write(order):
        try:
            with connect("writer") as own:
                for _ in range(40):
                    changes = {key: BalanceChange(1, 0) for key in order}
                    balances_apply(own, changes, {rig.quote_id: 8})
        except psycopg.Error as error:
            failures.append(error)

    threads = [
        threading.Thread(target=write, args=(order,)) for order in (keys, keys[::-1], keys[3:])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert rig.balance(*keys[0])[0] == D("0.00000080")
    assert rig.balance(*keys[5])[0] == D("0.00000120")


def reservation_insert(rig, order_id, **links):
    accounts_at(1)
    columns = {"pool_id": None, "funded_by": None, "left_lots": None, **links}
    rig.connection.execute(
        "INSERT INTO wallets_reservation (order_id, account_id, asset_id, symbol_id, side,"
        " price_ticks, amount, maker_fee_ppm, taker_fee_ppm, fee_accrued, pool_id, funded_by,"
        " left_lots) VALUES (%s, 1, %s, %s, 'sell', 1, 0, 0, 0, 0, %s, %s, %s)",
        (order_id, rig.base_id, rig.symbol.pk, *columns.values()),
    )


def test_reservations_are_locked_with_their_families_in_the_order_of_their_ids(rig):
    for order_id in (9, 4, 2):
        reservation_insert(rig, order_id)
    for order_id in (7, 3):
        reservation_insert(rig, order_id, pool_id=50, left_lots=1)
    for order_id in (8, 6):
        reservation_insert(rig, order_id, pool_id=60, funded_by=4, left_lots=1)
    for named, wanted in (
        ([9, 2], [2, 9]),
        ([7, 2], [2, 3, 7]),  # the other one of its pool
        ([4], [4, 6, 8]),  # those that it pays for
        ([6, 9], [6, 8, 9]),  # who pays is not touched by who is paid
        ([77], []),
        ([], []),
    ):
        assert [row.order_id for row in reservations_locked(rig.connection, named)] == wanted
    plan = rig.connection.execute(
        "EXPLAIN " + RESERVATIONS_LOCKED, ("{" + ",".join(map(str, range(500))) + "}",)
    ).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert text.lstrip().startswith("LockRows"), "rows are sorted before they are locked"
    assert "Seq Scan" not in text
    for index in ("reservation_funded", "reservation_pool"):
        assert index in text
