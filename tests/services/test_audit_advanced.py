"""risk.audit for waiting, iceberg, expiring and linked orders: each breach is found (B3, L5).

One partition with orders of every type, written as rows beside the real engine; then one thing is
spoiled, in the rows or in what brings the engine back.
"""

import psycopg
import pytest

from matching.engine import messages as m
from matching.state.snapshot import snapshot_decode, snapshot_encode
from risk.audit import books as book_checks
from risk.audit.books import books_equal_checkpoints
from risk.audit.inputs import positions, symbols
from risk.audit.reservations import reservations_are_exact
from tests.factories.partition_rows import PartitionRows

pytestmark = pytest.mark.django_db(transaction=True)

DUE_MS = 2_000_000_000_000
PAIR_TRADER, BUYER, SELLER, FREE_BUYER = 31, 41, 51, 61


@pytest.fixture
def rows(db: psycopg.Connection) -> PartitionRows:
    """Orders of every type; a snapshot in the middle, so that a part of the journal is replayed."""
    partition = PartitionRows(db)
    partition.enter(1, m.SELL, 10, 10_000)
    partition.enter(2, m.BUY, 4, 10_000)  # the last price
    partition.enter(11, m.SELL, 90, 10_200, terms=m.Terms(display_lots=10))
    partition.enter(12, m.BUY, 5, 9_800, terms=m.Terms(expire_ms=DUE_MS), owner_tag=7)
    partition.enter(13, m.BUY, 5, 10_300, terms=m.Terms(m.TRIGGER_STOP, 10_250, m.SOURCE_BEST))
    partition.enter(14, m.SELL, 5, 9_000, market=True, terms=m.Terms(m.TRIGGER_STOP, 9_500))
    partition.enter(15, m.BUY, 5, 9_700, market=True, terms=m.Terms(m.TRIGGER_TAKE, 9_600))
    trail = m.Terms(m.TRIGGER_TRAILING, trail_ppm=20_000, activation_ticks=10_400)
    partition.enter(16, m.SELL, 5, 9_000, market=True, terms=trail, self_trade=m.STP_DECREMENT)
    partition.commit(image=True)
    stop = m.Terms(m.TRIGGER_STOP, 9_400)
    partition.enter_list(
        930,
        m.OCO,
        partition.place(31, m.SELL, 6, 10_500, account_id=PAIR_TRADER),
        partition.place(32, m.SELL, 8, 9_300, account_id=PAIR_TRADER, terms=stop),
    )
    partition.enter_list(  # a buy that pays its pair of sells; 3 of 20 are bought
        940,
        m.OTOCO,
        partition.place(41, m.BUY, 20, 9_990, account_id=BUYER),
        partition.place(42, m.SELL, 10, 10_900, account_id=BUYER),
        partition.place(43, m.SELL, 20, 9_300, account_id=BUYER, terms=stop),
    )
    partition.enter_list(  # a sell that pays its buy; 5 of 20 are sold
        950,
        m.OTO,
        partition.place(51, m.SELL, 20, 10_010, account_id=SELLER),
        partition.place(52, m.BUY, 10, 9_000, account_id=SELLER),
    )
    partition.enter_list(  # a buy after a buy pays for itself
        960,
        m.OTO,
        partition.place(61, m.BUY, 3, 9_500, account_id=FREE_BUYER),
        partition.place(62, m.BUY, 2, 9_400, account_id=FREE_BUYER),
    )
    partition.enter(71, m.SELL, 3, 9_990)
    partition.enter(72, m.BUY, 11, 10_010)
    partition.commit()
    partition.rows_write()
    return partition


def corrupt(rows: PartitionRows, statement: str, *params: object) -> None:
    with rows.connection.transaction():
        rows.connection.execute("SET LOCAL session_replication_role = replica")
        assert rows.connection.execute(statement, params).rowcount > 0


def in_snapshot(rows: PartitionRows, check, **options):  # type: ignore[no-untyped-def]
    db = rows.connection
    with db.transaction():
        return check(db, positions(db), symbols(db), **options)


def b3(rows: PartitionRows, *, full: bool = False) -> list[str]:
    report = in_snapshot(rows, books_equal_checkpoints, full=full)
    assert not report.skipped
    return [breach.detail for breach in report.breaches]


def l5(rows: PartitionRows) -> list[str]:
    return [breach.detail for breach in in_snapshot(rows, reservations_are_exact)]


def test_every_type_of_order_is_green(rows: PartitionRows) -> None:
    assert rows.brought_in_atoms(rows.id(41)) == rows.units.base_atoms(3)
    assert rows.brought_in_atoms(rows.id(51)) > 0
    assert b3(rows) == []
    assert l5(rows) == []


B3_ROWS = [
    (
        "a waiting order that the engine lost",
        "UPDATE orders_order SET id = id + 1000000 WHERE id = %(14)s",
        "is open in the engine and has no row",
    ),
    (
        "a waiting row that the engine never had",
        "WITH moved AS (UPDATE wallets_reservation SET order_id = order_id + 1000"
        " WHERE order_id = %(14)s) UPDATE orders_order SET id = id + 1000 WHERE id = %(14)s",
        "the engine does not have it",
    ),
    (
        "an ended row of an order that still waits",
        "UPDATE orders_order SET status = 'cancelled' WHERE id = %(15)s",
        "is open in the engine and has no row",
    ),
    (
        "a waiting order called open",
        "UPDATE orders_order SET status = 'open' WHERE id = %(14)s",
        "is_waiting False in its row, True in the engine",
    ),
    (
        "a stop price",
        "UPDATE orders_order SET stop_price = stop_price + 1 WHERE id = %(13)s",
        "how_it_waits",
    ),
    (
        "a watched price",
        "UPDATE orders_order SET trigger_source = 'last' WHERE id = %(13)s",
        "how_it_waits",
    ),
    (
        "a trail's distance",
        "UPDATE orders_order SET trail_ppm = 20100 WHERE id = %(16)s",
        "how_it_waits",
    ),
    (
        "an activation price",
        "UPDATE orders_order SET activation_price = NULL WHERE id = %(16)s",
        "how_it_waits",
    ),
    (
        "another type",
        "UPDATE orders_order SET type = 'take_profit' WHERE id = %(14)s",
        "how_it_waits",
    ),
    (
        "a protective bound",
        "UPDATE orders_order SET bound_price = bound_price - 1 WHERE id = %(15)s",
        "price_ticks",
    ),
    (
        "what an iceberg shows",
        "UPDATE orders_order SET display_quantity = NULL WHERE id = %(11)s",
        "display_lots",
    ),
    (
        "when an order expires",
        "UPDATE orders_order SET expires_at = expires_at + interval '1 ms' WHERE id = %(12)s",
        "expire_ms",
    ),
    (
        "a time finer than a millisecond",
        "UPDATE orders_order SET expires_at = expires_at + interval '1 us' WHERE id = %(12)s",
        "cannot be in a book",
    ),
    (
        "whose key an order came with",
        "UPDATE orders_order SET owner_tag = 8 WHERE id = %(12)s",
        "owner_tag",
    ),
    (
        "a self-trade mode",
        "UPDATE orders_order SET self_trade = 'cancel_both' WHERE id = %(16)s",
        "self_trade",
    ),
    (
        "a group",
        "UPDATE orders_order SET group_id = 5 WHERE id = %(12)s",
        "group_id",
    ),
    (
        "a list without one of its orders",
        "UPDATE orders_order SET list_id = NULL WHERE id = %(32)s",
        "in the engine, not in the rows",
    ),
    (
        "a list that the engine does not know",
        "UPDATE orders_order SET list_id = 5 WHERE id IN (%(11)s, %(12)s)",
        "that the engine does not link",
    ),
    (
        "the symbol's state",
        "UPDATE exchange_symbol SET state = 'auction'",
        "in another state than in the engine",
    ),
]


@pytest.mark.parametrize(("case", "statement", "told"), B3_ROWS, ids=[row[0] for row in B3_ROWS])
def test_b3_finds_a_row_that_is_not_the_engines(
    rows: PartitionRows, case: str, statement: str, told: str
) -> None:
    ids = {str(number): rows.id(number) for number in (*range(11, 17), 31, 32)}
    with rows.connection.transaction():
        rows.connection.execute("SET LOCAL session_replication_role = replica")
        assert rows.connection.execute(statement, ids).rowcount > 0
    found = b3(rows)
    assert any(told in detail for detail in found), (case, found)
    assert len(found) <= 2, "nothing else is accused"


def snapshot_put(rows: PartitionRows, snapshot: bytes) -> None:
    corrupt(rows, "UPDATE orders_engineimage SET image = %s", snapshot)


def snapshot_of(rows: PartitionRows):  # type: ignore[no-untyped-def]
    row = rows.connection.execute("SELECT image FROM orders_engineimage").fetchone()
    assert row is not None
    return snapshot_decode(row[0])


def test_b3_finds_an_image_that_lies_about_an_order(rows: PartitionRows) -> None:
    engine = snapshot_of(rows)
    resting = engine.book(rows.units.symbol_id).orders[rows.id(12)]
    engine.book(rows.units.symbol_id).reduce(resting, 1)
    snapshot_put(rows, snapshot_encode(engine))
    found = b3(rows)
    assert any("left_lots 5 in its row, 4 in the engine" in detail for detail in found)
    assert any("differ from the checkpoint" in detail for detail in found)


def test_b3_finds_an_image_that_lies_about_what_no_row_has(rows: PartitionRows) -> None:
    """Where a trailing stop stands, and a cancel-after, are in no row: the hash has them."""
    engine = snapshot_of(rows)
    advanced = engine.book(rows.units.symbol_id).advanced
    assert advanced is not None
    advanced.cancel_after[9, 0] = DUE_MS
    snapshot_put(rows, snapshot_encode(engine))
    assert [detail.split(": ")[1] for detail in b3(rows)] == [
        f"open orders differ from the checkpoint at {rows.engine.sequence}"
    ]


def test_b3_finds_a_book_that_breaks_an_invariant(rows: PartitionRows) -> None:
    engine = snapshot_of(rows)
    engine.book(rows.units.symbol_id).orders[rows.id(12)].priority = engine.sequence + 1_000
    snapshot_put(rows, snapshot_encode(engine))
    assert any("breaks an invariant" in detail for detail in b3(rows))


def test_b3_finds_a_market_order_that_rests_in_an_open_book(rows: PartitionRows) -> None:
    """Rule 20.10."""
    engine = snapshot_of(rows)
    advanced = engine.book(rows.units.symbol_id).advanced
    assert advanced is not None
    advanced.at_open.add(rows.id(12))
    snapshot_put(rows, snapshot_encode(engine))
    assert any("no market order outlives its auction" in detail for detail in b3(rows))


def test_b3_finds_an_image_that_makes_the_journal_untrue(rows: PartitionRows) -> None:
    engine = snapshot_of(rows)
    book = engine.book(rows.units.symbol_id)
    book.remove(book.orders[rows.id(1)])
    snapshot_put(rows, snapshot_encode(engine))
    [detail] = b3(rows)
    assert "gives other events when it is applied again" in detail


@pytest.mark.parametrize("snapshot", [b"", b"\x93\x01", b"\x93\x09\x00\x90", b"nonsense"])
def test_b3_finds_a_snapshot_that_nobody_can_load(rows: PartitionRows, snapshot: bytes) -> None:
    snapshot_put(rows, snapshot)
    [detail] = b3(rows)
    assert "cannot be loaded" in detail


def test_b3_finds_an_image_of_another_moment(rows: PartitionRows) -> None:
    corrupt(rows, "UPDATE orders_engineimage SET last_seq = last_seq - 1")
    [detail] = b3(rows)
    assert "cannot be loaded" in detail


def test_b3_finds_that_all_images_are_gone(rows: PartitionRows) -> None:
    corrupt(rows, "DELETE FROM orders_engineimage")
    assert any("no engine snapshot says how" in detail for detail in b3(rows))


def test_b3_takes_the_newest_image_that_is_not_after_the_checkpoint(rows: PartitionRows) -> None:
    rows.connection.execute(
        "INSERT INTO orders_engineimage (partition_id, last_seq, image, created_at)"
        " VALUES (1, %s, 'of tomorrow', now())",
        (rows.engine.sequence + 1,),
    )
    assert b3(rows) == []


def test_b3_finds_a_journal_that_does_not_follow_the_image(rows: PartitionRows) -> None:
    corrupt(rows, "UPDATE orders_enginejournal SET first_seq = first_seq + 1 WHERE first_seq > 1")
    [detail] = b3(rows)
    assert "no way to replay it" in detail


def test_b3_finds_a_journal_that_ends_before_the_checkpoint(rows: PartitionRows) -> None:
    corrupt(rows, "DELETE FROM orders_enginejournal WHERE first_seq > 1")
    [detail] = b3(rows)
    assert "the journal ends at" in detail


def test_b3_finds_a_checkpoint_of_another_state(rows: PartitionRows) -> None:
    corrupt(rows, "UPDATE orders_enginepartition SET state_hash = reverse(state_hash)")
    [detail] = b3(rows)
    assert "differ from the checkpoint" in detail


def test_b3_says_when_an_image_is_too_old_to_replay_from(
    rows: PartitionRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_checks, "REPLAYED_MAX", 1)
    monkeypatch.setattr(book_checks, "REPLAYED_PER_OPEN_ORDER", 0)
    report = in_snapshot(rows, books_equal_checkpoints, full=False)
    assert report.breaches == []
    assert "its newest snapshot is 6 commands old" in report.skipped
    assert b3(rows, full=True) == []


L5_ROWS = [
    (
        "a stop's stolen reservation",
        "UPDATE wallets_reservation SET amount = 0 WHERE order_id = %(14)s",
        "requires 50000 atoms",
    ),
    (
        "a trailing stop reserved at another price than its bound",
        "UPDATE wallets_reservation SET price_ticks = price_ticks - 1 WHERE order_id = %(16)s",
        "not for its own",
    ),
    (
        "an iceberg reserved only for what it shows",
        "UPDATE wallets_reservation SET amount = 0.001 WHERE order_id = %(11)s",
        "reserves 0.0010",
    ),
    (
        "a pool reserved twice",
        "UPDATE wallets_reservation SET amount = 0.0006 WHERE order_id = %(32)s",
        "reserved 140000 atoms, required 80000",
    ),
    (
        "a pool that reserves the smaller need",
        "UPDATE wallets_reservation SET amount = 0.0006 WHERE order_id = %(31)s",
        "reserved 60000 atoms, required 80000",
    ),
    (
        "a pool of one order",
        "UPDATE wallets_reservation SET pool_id = NULL WHERE order_id = %(32)s",
        "is alone in the pool",
    ),
    (
        "a pool of two accounts",
        "UPDATE wallets_reservation SET account_id = 1 WHERE order_id = %(32)s",
        "not their account",
    ),
    (
        "a pool with two amends",
        "UPDATE wallets_reservation SET pending_amend_id = order_id"
        " WHERE order_id IN (%(31)s, %(32)s)",
        "which is not under way",
    ),
    (
        "a pool that counts other lots than are left",
        "UPDATE wallets_reservation SET left_lots = left_lots + 1 WHERE order_id = %(31)s",
        "reserves for 7 lots, 6 are left",
    ),
    (
        "a pair that has more than its buy brought in",
        "UPDATE wallets_reservation SET amount = amount + 0.0001 WHERE order_id = %(43)s",
        "reserved 40000 atoms, required 30000",
    ),
    (
        "a pair without what its buy brought in",
        "UPDATE wallets_reservation SET amount = 0 WHERE order_id = %(42)s",
        "reserved 0 atoms, required 30000",
    ),
    (
        "a buy that has more than its sell brought in",
        "UPDATE wallets_reservation SET amount = amount + 0.00000001 WHERE order_id = %(52)s",
        "paid for by order",
    ),
    (
        "a buy after a buy that someone else pays for",
        "UPDATE wallets_reservation SET funded_by = %(61)s, left_lots = 2 WHERE order_id = %(62)s",
        "atoms, required 0",
    ),
    (
        "an order that waits for its list and reserves nothing",
        "UPDATE wallets_reservation SET amount = 0 WHERE order_id = %(62)s",
        "reserves 0",
    ),
]


@pytest.mark.parametrize(("case", "statement", "told"), L5_ROWS, ids=[row[0] for row in L5_ROWS])
def test_l5_finds_a_reservation_that_is_not_what_its_order_requires(
    rows: PartitionRows, case: str, statement: str, told: str
) -> None:
    ids = {str(number): rows.id(number) for number in (11, 14, 16, 31, 32, 42, 43, 52, 61, 62)}
    rows.connection.execute(statement, ids)
    found = l5(rows)
    assert any(told in detail for detail in found), (case, found)
    assert len(found) <= 2, "nothing else is accused"


def test_l5_leaves_a_pool_alone_while_one_of_it_is_not_settled(rows: PartitionRows) -> None:
    rows.connection.execute(
        "UPDATE wallets_reservation SET amount = 0.0002 WHERE order_id = %s", (rows.id(31),)
    )
    assert len(l5(rows)) == 1
    rows.apply(m.Amend(rows.id(80), 0, rows.units.symbol_id, rows.id(32), quantity_lots=4))
    rows.commit()
    settled_before(rows)
    assert l5(rows) == []


def test_l5_leaves_a_paid_order_alone_while_a_fill_of_its_payer_is_not_settled(
    rows: PartitionRows,
) -> None:
    rows.connection.execute(
        "UPDATE wallets_reservation SET amount = 0 WHERE order_id = %s", (rows.id(42),)
    )
    assert len(l5(rows)) == 1
    rows.enter(81, m.SELL, 2, 9_990)
    rows.commit()
    settled_before(rows)
    assert l5(rows) == []


def settled_before(rows: PartitionRows) -> None:
    """Let the last journal row be unsettled."""
    rows.connection.execute(
        "UPDATE orders_settlementcursor SET last_seq = (SELECT max(first_seq) - 1"
        " FROM orders_enginejournal WHERE partition_id = 1) WHERE partition_id = 1"
    )


def test_l5_counts_the_extra_of_an_amend_on_its_way_in_a_pool_once(rows: PartitionRows) -> None:
    amend_id = rows.id(90)
    rows.connection.execute(
        "INSERT INTO orders_command (id, partition_id, kind, symbol_id, order_id, payload,"
        " reserved_extra, note, created_at)"
        " VALUES (%s, 1, 'amend', %s, %s, '', 0.0003, '', now())",
        (amend_id, rows.units.symbol_id, rows.id(32)),
    )
    rows.connection.execute(
        "UPDATE wallets_reservation SET pending_amend_id = %s WHERE order_id = %s",
        (amend_id, rows.id(32)),
    )
    assert len(l5(rows)) == 1, "its extra is missing"
    rows.connection.execute(
        "UPDATE wallets_reservation SET amount = amount + 0.0003 WHERE order_id = %s",
        (rows.id(32),),
    )
    assert l5(rows) == []
