"""orders.settlement: every event moves its money once and in order, whatever dies."""

import random
from decimal import Decimal

import psycopg
import pytest

from exchange.infra.database import connect
from matching.engine.journal import Sequenced
from matching.engine.messages import BUY, HALT, IOC, SELL, Cancel, OrderCancelled, SetState, Trade
from matching.state.codec import decode_command, encode_journal
from orders.settlement import batch as settlement
from orders.settlement.batch import Idle, StreamGap, settle_batch, settle_next
from risk.audit.run import audit_run
from tests.factories.ledger import PARTITION
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal


def entries(db):
    return db.execute(
        "SELECT journal_id, account_id, asset_id, amount, kind FROM wallets_entry"
        " WHERE kind IN ('trade', 'fee') ORDER BY id"
    ).fetchall()


def everything(db):
    tables = {
        "wallets_balance": "id",
        "wallets_reservation": "order_id",
        "wallets_entry": "id",
        "orders_settlementcursor": "partition_id",
    }
    return {
        table: db.execute(f"SELECT * FROM {table} ORDER BY {key}").fetchall()
        for table, key in tables.items()
    }


def test_trade_moves_both_assets_and_both_fees(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    sell = rig.place(seller, SELL, 10_000, 5_000)  # 0.5 at 100.00
    buy = rig.place(buyer, BUY, 10_100, 5_000)  # willing to pay 101.00
    [trade_id] = rig.commit()
    assert rig.settle() == 1
    assert rig.balance(seller, rig.base_id) == (D("0.5"), 0)
    assert rig.balance(seller, rig.quote_id) == (D("49.975"), 0)  # 50 less 0.05 %
    assert rig.balance(buyer, rig.base_id) == (D("0.5"), 0)
    assert rig.balance(buyer, rig.quote_id) == (D("949.95"), 0)  # 50 and 0.1 %, rest released
    assert rig.house(rig.quote_id) == D("0.075")
    assert rig.reservation(sell) is None
    assert rig.reservation(buy) is None
    lines = entries(rig.connection)
    assert len(lines) == 7
    assert {line[0] for line in lines} == {trade_id}
    assert sum(line[3] for line in lines if line[2] == rig.base_id) == 0
    assert sum(line[3] for line in lines if line[2] == rig.quote_id) == 0


def test_partial_fill_reduces_the_reservation_to_what_is_left(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    buy = rig.place(buyer, BUY, 10_000, 10_000)
    rig.place(seller, SELL, 10_000, 4_000)
    rig.commit()
    rig.settle()
    # 60 are left to buy; maker so far: 40 x 500 ppm accrued, the rest may still pay taker's rate.
    assert rig.reservation(buy) == D("60.06")
    assert rig.balance(buyer, rig.quote_id) == (D("899.92"), D("60.06"))


def test_cancel_releases_all_that_was_held(rig):
    buyer = rig.trader(quote="1000")
    buy = rig.place(buyer, BUY, 10_000, 10_000)
    rig.commit()
    rig.settle()
    assert rig.balance(buyer, rig.quote_id) == (D("899.9"), D("100.1"))
    rig.cancel(buy)
    rig.commit()
    rig.settle()
    assert rig.balance(buyer, rig.quote_id) == (D(1000), 0)
    assert rig.reservation(buy) is None


def test_rejected_order_gets_its_reservation_back(rig):
    buyer = rig.trader(quote="1000")
    rig.apply(SetState(rig.ids.next_id(), 0, rig.symbol.pk, HALT))
    rig.place(buyer, BUY, 10_000, 10_000)
    rig.commit()
    rig.settle()
    assert rig.balance(buyer, rig.quote_id) == (D(1000), 0)


def test_unfilled_rest_of_an_ioc_is_released(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    rig.place(seller, SELL, 10_000, 1_000)
    rig.place(buyer, BUY, 10_000, 5_000, time_in_force=IOC)
    rig.commit()
    rig.settle()
    assert rig.balance(buyer, rig.quote_id) == (D("989.99"), 0)


def test_order_by_quote_amount_spends_at_most_that_and_the_fee(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="100.1")
    rig.place(seller, SELL, 10_000, 3_000)
    rig.place(seller, SELL, 30_000, 3_000)
    rig.place(buyer, BUY, 40_000, quote_atoms=100_00000000)
    trades = rig.commit()
    assert len(trades) == 2
    rig.settle()
    # 30 for the first 0.3; 70 buy 0.2333 at 300 = 69.99, and 0.01 cannot buy another lot.
    assert rig.balance(buyer, rig.base_id) == (D("0.5333"), 0)
    assert rig.balance(buyer, rig.quote_id) == (D("100.1") - D("99.99") - D("0.09999"), 0)


def test_self_trade_of_a_market_maker_costs_it_both_fees(rig):
    maker = rig.trader(base="1", quote="1000")
    rig.place(maker, SELL, 10_000, 5_000, self_trade_exempt=True)
    rig.place(maker, BUY, 10_000, 5_000, self_trade_exempt=True)
    assert len(rig.commit()) == 1
    rig.settle()
    assert rig.balance(maker, rig.base_id) == (D(1), 0)
    assert rig.balance(maker, rig.quote_id) == (D("999.925"), 0)


# --- amends


def test_amend_up_reserves_more_and_settles_to_the_new_reservation(rig):
    buyer = rig.trader(quote="1000")
    buy = rig.place(buyer, BUY, 10_000, 10_000)
    rig.commit()
    assert rig.amend(buy, price_ticks=11_000, lots=20_000)
    assert rig.reservation(buy) == D("220.22")
    rig.commit()
    rig.settle()
    assert rig.reservation(buy) == D("220.22")
    assert rig.balance(buyer, rig.quote_id) == (D("779.78"), D("220.22"))


def test_amend_down_releases_the_difference(rig):
    buyer = rig.trader(quote="1000")
    buy = rig.place(buyer, BUY, 10_000, 10_000)
    rig.commit()
    assert rig.amend(buy, lots=4_000, keep_priority=True)
    rig.commit()
    rig.settle()
    assert rig.balance(buyer, rig.quote_id) == (D("959.96"), D("40.04"))


def test_extra_survives_a_fill_that_comes_first(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    buy = rig.place(buyer, BUY, 10_000, 10_000)
    rig.commit()
    assert rig.amend(buy, price_ticks=12_000, sequence=False)  # waiting in the stream
    rig.place(seller, SELL, 10_000, 4_000)
    rig.commit()
    rig.settle()
    assert rig.reservation(buy) == D("60.06") + D("20.02")
    command = rig.connection.execute(
        "SELECT payload FROM orders_command WHERE order_id = %s", (buy,)
    ).fetchone()[0]
    rig.apply(decode_command(command))
    rig.commit()
    rig.settle()
    assert rig.reservation(buy) == D("72.072")  # 0.6 at 120 and the fee: the rest is free again


def test_refused_amend_gives_its_extra_back(rig):
    buyer = rig.trader(quote="1000")
    buy = rig.place(buyer, BUY, 10_000, 10_000)
    rig.commit()
    assert rig.amend(buy, price_ticks=12_000, keep_priority=True)  # not a pure reduction
    assert rig.reservation(buy) == D("120.12")
    rig.commit()
    rig.settle()
    assert rig.reservation(buy) == D("100.1")
    pending = rig.connection.execute("SELECT pending_amend_id FROM wallets_reservation").fetchone()
    assert pending == (None,)


def test_amend_that_lost_the_race_against_the_last_fill(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    buy = rig.place(buyer, BUY, 10_000, 5_000)
    rig.commit()
    assert rig.amend(buy, price_ticks=12_000, sequence=False)
    rig.place(seller, SELL, 10_000, 5_000)
    rig.commit()
    payload = rig.connection.execute("SELECT payload FROM orders_command").fetchone()[0]
    rig.apply(decode_command(payload))  # refused: not open any more
    rig.commit()
    rig.settle()
    assert rig.reservation(buy) is None
    assert rig.balance(buyer, rig.quote_id) == (D("949.975"), 0)


# --- once, in order, or not at all


def test_settling_again_changes_nothing(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    rig.place(seller, SELL, 10_000, 5_000)
    rig.place(buyer, BUY, 10_000, 5_000)
    rig.commit()
    assert rig.settle() == 1
    after = everything(rig.connection)
    assert settle_batch(rig.connection, PARTITION) is None
    assert everything(rig.connection) == after


def test_crash_before_the_commit_leaves_nothing_and_the_next_run_settles(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    rig.place(seller, SELL, 10_000, 5_000)
    rig.place(buyer, BUY, 10_000, 5_000)
    rig.commit()
    before = everything(rig.connection)
    dying = connect("dying")
    dying.execute("BEGIN")  # the batch runs inside a transaction that never commits
    assert settle_batch(dying, PARTITION) is not None
    dying.close()
    assert everything(rig.connection) == before
    # The server may be about to notice that the first one is gone: its cursor is locked till then.
    assert wait_until(rig.settle, "the next run settles") == 1
    assert rig.house(rig.quote_id) == D("0.075")


def test_two_runs_at_once_do_not_wait_and_do_not_double(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    rig.place(seller, SELL, 10_000, 5_000)
    rig.place(buyer, BUY, 10_000, 5_000)
    rig.commit()
    with connect("other") as other:
        other.execute("BEGIN")
        assert settle_batch(other, PARTITION) is not None
        assert settle_next(rig.connection, PARTITION) is Idle.LOCKED
        other.execute("COMMIT")
    assert settle_next(rig.connection, PARTITION) is Idle.SETTLED
    assert len(entries(rig.connection)) == 7


def test_gap_in_the_journal_stops_settlement(rig):
    buyer = rig.trader(quote="1000")
    rig.place(buyer, BUY, 10_000, 1_000)
    rig.commit()
    rig.place(buyer, BUY, 10_000, 1_000)
    rig.commit()
    rig.connection.execute("DELETE FROM orders_enginejournal WHERE last_seq = 1")
    before = everything(rig.connection)
    with pytest.raises(StreamGap) as caught:
        rig.settle()
    assert (caught.value.expected, caught.value.found) == (1, 2)
    assert everything(rig.connection) == before


def journal_insert(rig, events):
    """A journal row that no engine of ours would write."""
    sequence = rig.engine.sequence + 1
    command = Cancel(rig.ids.next_id(), 0, rig.symbol.pk, 1)
    rig.connection.execute(
        "INSERT INTO orders_enginejournal (partition_id, epoch, first_seq, last_seq, events,"
        " frames, trade_ids, state_hash, created_at)"
        " VALUES (1, 1, %s, %s, %s, '', %s::bigint[], '', now())",
        (
            sequence,
            sequence,
            encode_journal([Sequenced(sequence, command, events)]),
            [rig.ids.next_id() for event in events if isinstance(event, Trade)],
        ),
    )


def test_event_for_an_order_without_a_reservation_is_a_crash(rig):
    journal_insert(rig, [OrderCancelled(77, 1, BUY, 100, 5, "order.cancelled_by_user")])
    before = everything(rig.connection)
    with pytest.raises(AssertionError, match="order 77 has no reservation"):
        rig.settle()
    assert everything(rig.connection) == before


def test_trade_beyond_the_reservation_is_a_crash_and_never_clamped(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    sell = rig.place(seller, SELL, 10_000, 1_000)
    buy = rig.place(buyer, BUY, 9_000, 1_000)
    rig.commit()
    rig.settle()
    # A trade above what the buyer reserved at.
    journal_insert(rig, [Trade(sell, buy, seller, buyer, BUY, 10_000, 1_000, 0, 0)])
    before = everything(rig.connection)
    with pytest.raises(AssertionError, match="outside its limit"):
        rig.settle()
    assert everything(rig.connection) == before


def test_batches_are_bounded(rig, monkeypatch):
    buyer = rig.trader(quote="1000")
    for _ in range(6):
        rig.place(buyer, BUY, 10_000, 1_000)
        rig.commit()
    monkeypatch.setattr(settlement, "EVENTS_PER_SETTLEMENT", 2)
    assert rig.settle() == 3


def test_missing_balance_rows_are_made(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    assert rig.connection.execute(
        "SELECT count(*) FROM wallets_balance WHERE account_id = %s", (buyer,)
    ).fetchone() == (1,)
    rig.place(seller, SELL, 10_000, 5_000)
    rig.place(buyer, BUY, 10_000, 5_000)
    rig.commit()
    rig.settle()
    assert rig.balance(buyer, rig.base_id) == (D("0.5"), 0)


def test_balances_that_changed_are_returned_with_their_versions(rig):
    seller, buyer = rig.trader(base="1"), rig.trader(quote="1000")
    rig.place(seller, SELL, 10_000, 5_000)
    rig.place(buyer, BUY, 10_000, 5_000)
    rig.commit()
    batch = settle_batch(rig.connection, PARTITION)
    assert (batch.first_seq, batch.last_seq, batch.trades, batch.entries) == (1, 2, 1, 7)
    assert batch.asset_codes[rig.quote_id] == "USDT"
    rows = {(row.account_id, row.asset_id): row for row in batch.balances}
    assert rows[buyer, rig.quote_id].available == D("949.95")
    assert rows[buyer, rig.quote_id].version == 3  # deposit, reserve, settle
    assert len(rows) == 5


# --- any flow


@pytest.mark.parametrize("seed", range(6))
def test_any_flow_conserves_money_and_ends_without_reservations(rig, seed):
    chance = random.Random(seed)
    traders = [rig.trader(base="5", quote="5000") for _ in range(4)]
    orders: list[int] = []
    for step in range(120):
        roll = chance.random()
        if roll < 0.6 or not orders:
            side = chance.choice([BUY, SELL])
            ticks = 10_000 + chance.randint(-30, 30)
            account = chance.choice(traders)
            lots = chance.randint(1, 2_000)
            quote = chance.randint(100, 10**10) if side == BUY and roll < 0.06 else 0
            try:
                orders.append(
                    rig.place(account, side, ticks, 0 if quote else lots, quote_atoms=quote)
                )
            except psycopg.errors.CheckViolation:
                continue  # not enough funds: refused, nothing changed
        elif roll < 0.8:
            ticks = 10_000 + chance.randint(-40, 40)
            rig.amend(chance.choice(orders), price_ticks=ticks, lots=chance.randint(1, 2_000))
        else:
            rig.cancel(chance.choice(orders))
        if chance.random() < 0.4:
            rig.commit()
        if chance.random() < 0.3:
            rig.settle()
        if step % 10 == 0:
            assert_conserved(rig.connection)
        if step % 40 == 0:  # whatever is in motion at this moment
            assert audit_run(rig.connection).breaches == []
    for order_id in list(rig.engine.book(rig.symbol.pk).orders):
        rig.cancel(order_id)
    rig.commit()
    rig.settle()
    assert_conserved(rig.connection)
    assert audit_run(rig.connection, full=True).breaches == []
    held = rig.connection.execute("SELECT * FROM wallets_reservation").fetchall()
    assert held == []
    reserved = rig.connection.execute("SELECT sum(reserved) FROM wallets_balance").fetchone()
    assert reserved == (0,)
    assert len(entries(rig.connection)) > 50


def assert_conserved(db):
    totals = db.execute(
        "SELECT asset_id, sum(available + reserved) FROM wallets_balance GROUP BY asset_id"
    ).fetchall()
    assert all(total == 0 for _, total in totals)
    wrong = db.execute(
        "SELECT account_id, asset_id FROM wallets_balance b WHERE available + reserved <>"
        " (SELECT coalesce(sum(amount), 0) FROM wallets_entry e"
        "  WHERE e.account_id = b.account_id AND e.asset_id = b.asset_id)"
    ).fetchall()
    assert wrong == []
    unexplained = db.execute(
        "SELECT account_id, asset_id FROM wallets_balance b WHERE reserved <>"
        " (SELECT coalesce(sum(amount), 0) FROM wallets_reservation r"
        "  WHERE r.account_id = b.account_id AND r.asset_id = b.asset_id)"
    ).fetchall()
    assert unexplained == []
