"""The ledger's guards in the database: what it refuses, whoever asks (L1, L4, L6)."""

import psycopg
import pytest

from exchange.domain.enums import EntryKind
from exchange.infra.database import connect, process_ids
from matching.engine.messages import BUY, SELL
from tests.factories.ledger import Rig
from wallets.entries import entries_write
from wallets.locks import balances_apply
from wallets.postings import BalanceChange, Posting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rig(transactional_db, base_rows):
    with connect("test-guards") as connection:
        rig = Rig(connection)
        rig.seller, rig.buyer = rig.trader(base="1"), rig.trader(quote="100")
        rig.place(rig.seller, SELL, 10_000, 1_000)
        rig.place(rig.buyer, BUY, 10_000, 1_000)
        rig.commit()
        rig.settle()
        yield rig


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE wallets_entry SET amount = 0",
        "DELETE FROM wallets_entry",
        "UPDATE orders_trade SET price = 1",
        "DELETE FROM orders_trade",
    ],
)
def test_history_is_never_changed(rig, statement):
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="never changed"):
        rig.connection.execute(statement)


def test_history_is_guarded_in_each_partition_too(rig):
    [name] = rig.connection.execute(
        "SELECT DISTINCT tableoid::regclass::text FROM wallets_entry"
    ).fetchone()
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="never changed"):
        rig.connection.execute(f"DELETE FROM {name}")


def postings(rig, *amounts):
    return [
        Posting(account_id, rig.quote_id, atoms, EntryKind.ADJUSTMENT)
        for account_id, atoms in zip((rig.seller, rig.buyer), amounts, strict=True)
    ]


def test_unbalanced_journal_is_refused_in_its_own_statement(rig):
    count = "SELECT count(*) FROM wallets_entry"
    before = rig.connection.execute(count).fetchone()
    with pytest.raises(psycopg.errors.CheckViolation, match="do not sum to zero"):
        entries_write(
            rig.connection, [(process_ids().next_id(), postings(rig, -5, 6))], {rig.quote_id: 8}
        )
    assert rig.connection.execute(count).fetchone() == before


def test_two_journals_that_cancel_each_other_out_are_refused(rig):
    journals = [
        (process_ids().next_id(), postings(rig, -5, 6)),
        (process_ids().next_id(), postings(rig, 5, -6)),
    ]
    with pytest.raises(psycopg.errors.CheckViolation, match="do not sum to zero"):
        entries_write(rig.connection, journals, {rig.quote_id: 8})


@pytest.mark.parametrize(
    ("case", "change", "constraint"),
    [
        ("available", BalanceChange(-(10**12), 0), "balance_available_not_negative"),
        ("reserved", BalanceChange(0, -1), "balance_reserved_not_negative"),
    ],
)
def test_negative_balance_is_refused(rig, case, change, constraint):
    before = rig.balance(rig.buyer, rig.quote_id)
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        balances_apply(rig.connection, {(rig.buyer, rig.quote_id): change}, {rig.quote_id: 8})
    assert caught.value.diag.constraint_name == constraint
    assert rig.balance(rig.buyer, rig.quote_id) == before, case


def test_change_of_a_balance_that_does_not_exist_is_a_bug(rig):
    with pytest.raises(AssertionError, match="exists"):
        balances_apply(rig.connection, {(999_999, rig.quote_id): BalanceChange(1, 0)},
                       {rig.quote_id: 8})  # fmt: skip


def test_negative_reservation_is_refused(rig):
    rig.place(rig.buyer, BUY, 9_000, 1_000)
    with pytest.raises(psycopg.errors.CheckViolation, match="reservation_not_negative"):
        rig.connection.execute("UPDATE wallets_reservation SET amount = -1")
