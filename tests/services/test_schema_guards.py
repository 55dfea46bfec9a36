"""The schema's guards: the database refuses unknown words, signs, moves and loose ends."""

import re
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.db import connection, models
from psycopg.sql import SQL, Identifier

from exchange.domain.enums import OrderStatus, Side
from exchange.infra.database import connect
from exchange.models import Symbol
from matching.engine.messages import ALL_ACCOUNTS
from orders.lifecycle import NEXT
from tests.factories.market import Market, market_make
from tests.factories.worker import Surroundings

pytestmark = pytest.mark.django_db(transaction=True)

OURS = ("exchange", "orders", "wallets", "risk")


def word_columns() -> list[tuple[type[models.Model], str, list[str]]]:
    """Every column of ours that holds one of a closed set of words."""
    return [
        (model, field.column, [str(value) for value, _ in field.choices])
        for label in OURS
        for model in apps.get_app_config(label).get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, models.CharField) and field.choices
    ] + [
        (apps.get_model("orders", "Order"), "self_trade", words_of("SelfTradePrevention")),
        (apps.get_model("wallets", "Reservation"), "side", words_of("Side")),
    ]


def words_of(name: str) -> list[str]:
    from exchange.domain import enums

    return [str(word) for word in getattr(enums, name)]


def checks_of(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = %s::regclass AND contype = 'c' AND convalidated",
            (table,),
        )
        return [text for (text,) in cursor.fetchall()]


def test_every_column_of_words_has_a_constraint_with_the_words_of_the_code() -> None:
    columns = word_columns()
    assert len(columns) >= 15
    for model, column, words in columns:
        table = model._meta.db_table
        sets = [
            set(re.findall(r"'(\w+)'::", text))
            for text in checks_of(table)
            if re.match(rf"CHECK \(\(\(?{column}\)?(::text)? = ANY ", text)
        ]
        assert set(words) in sets, (table, column, sets)


@pytest.fixture
def rows(market: Market, around: Surroundings) -> Any:
    """The tables of interest with a row each: made by the real path, not by hand."""
    with connect("test") as db:
        market.place(db, 0, Side.SELL, 10, 100)
        market.place(db, 1, Side.BUY, 4, 100)
        market.submit(db, market.cancel_all_job(1))
        around.deliver()
        around.start().run()
        yield db


# table, assignment, what refuses it
FORBIDDEN = [
    ("orders_order", "side = 'both'", "order_side_known"),
    ("orders_order", "type = 'iceberg', price = NULL, bound_price = 1", "order_type_known"),
    ("orders_order", "time_in_force = 'day'", "order_time_in_force_known"),
    ("orders_order", "self_trade = 'maybe'", "order_self_trade_known"),
    ("orders_order", "trigger_source = 'mark'", "order_trigger_source_known"),
    ("orders_order", "price = 0", "order_amounts_positive"),
    ("orders_order", "price = -1", "order_amounts_positive"),
    ("orders_order", "stop_price = 0", "order_amounts_positive"),
    ("orders_order", "display_quantity = 0", "order_amounts_positive"),
    ("orders_order", "trail_ppm = 0", "order_trail_ppm_positive"),
    ("orders_order", "quantity = 0, filled = 0", "order_quantity_or_quote_amount"),
    ("orders_order", "price = NULL", "order_price_or_bound"),
    ("orders_order", "bound_price = 1", "order_price_or_bound"),
    ("orders_order", "expires_at = now()", "order_expires_iff_gtd"),
    ("orders_order", "maker_fee_ppm = taker_fee_ppm + 1", "order_fee_range"),
    ("orders_command", "kind = 'wish'", "command_kind_known"),
    ("orders_command", "reserved_extra = -1", "command_extra_not_negative"),
    ("wallets_reservation", "side = 'both'", "reservation_side_known"),
    ("wallets_reservation", "price_ticks = 0", "reservation_positive"),
    ("wallets_reservation", "left_lots = -1", "reservation_left_lots"),
    ("wallets_account", "kind = 'bank'", "account_kind_known"),
    ("exchange_symbol", "state = 'asleep'", "symbol_state_known"),
    ("exchange_symbol", "notional_min = -1", "symbol_notional_not_negative"),
    ("exchange_user", "self_trade_prevention = 'maybe'", "user_self_trade_known"),
]


def refused_by(db: psycopg.Connection, statement: str, params: Any = None) -> str | None:
    """The name of the constraint that refuses a statement."""
    with pytest.raises(psycopg.IntegrityError) as refusal:
        db.execute(statement, params)
    return refusal.value.diag.constraint_name


def test_words_and_signs_are_refused_by_name(rows: psycopg.Connection) -> None:
    for table, assignment, constraint in FORBIDDEN:
        found = refused_by(rows, f"UPDATE {table} SET {assignment}")
        assert found == constraint, (table, assignment, found)


def copied(db: psycopg.Connection, table: str, **changes: Any) -> str | None:
    """Insert a copy of the table's first row with these columns; return what refuses it."""
    names = [column.name for column in db.execute(f"SELECT * FROM {table}").description or ()]
    values = SQL(", ").join(SQL("%s") if name in changes else Identifier(name) for name in names)
    statement = SQL("INSERT INTO {} ({}) SELECT {} FROM {} ORDER BY {} LIMIT 1").format(
        Identifier(table),
        SQL(", ").join(map(Identifier, names)),
        values,
        Identifier(table),
        Identifier(names[0]),
    )
    params = [changes[name] for name in names if name in changes]
    try:
        db.execute(statement, params)
    except psycopg.IntegrityError as refusal:
        return refusal.diag.constraint_name
    return None


NOBODY = 999_999_999
LOOSE = [
    ("orders_order", {"account_id": NOBODY}, "order_refers"),
    ("orders_order", {"symbol_id": NOBODY}, "order_refers"),
    ("wallets_reservation", {"account_id": NOBODY}, "reservation_refers"),
    ("wallets_reservation", {"symbol_id": NOBODY}, "reservation_refers"),
    ("wallets_reservation", {"asset_id": NOBODY}, "reservation_refers"),
    ("orders_trade", {"symbol_id": NOBODY}, "trade_refers"),
    ("orders_trade", {"maker_account_id": NOBODY}, "trade_refers"),
    ("orders_trade", {"taker_account_id": NOBODY}, "trade_refers"),
    ("orders_trade", {"taker_side": "both"}, "trade_taker_side_known"),
    ("orders_trade", {"quote_amount": 0}, "trade_quote_positive"),
    ("orders_trade", {"price": 0}, "trade_positive"),
    ("orders_command", {"symbol_id": NOBODY}, "command_refers"),
    ("orders_command", {"account_id": NOBODY}, "command_refers"),
    ("orders_command", {"kind": "wish"}, "command_kind_known"),
]


def test_what_names_nothing_that_exists_is_refused_by_name(
    rows: psycopg.Connection, market: Market
) -> None:
    for table, changes, constraint in LOOSE:
        key = "order_id" if table == "wallets_reservation" else "id"
        assert copied(rows, table, **{key: market.ids.next_id()}, **changes) == constraint, changes
    for account_id in (None, ALL_ACCOUNTS):
        ids = {"id": market.ids.next_id()}
        assert copied(rows, "orders_command", **ids, account_id=account_id) is None


def test_an_entry_is_of_an_account_and_an_asset_that_exist(
    rows: psycopg.Connection, market: Market
) -> None:
    for column in ("account_id", "asset_id"):
        values = {"account_id": market.account_ids[0], "asset_id": market.base_id, column: NOBODY}
        found = refused_by(
            rows,
            "INSERT INTO wallets_entry (id, journal_id, account_id, asset_id, amount, kind)"
            " VALUES (%s, 1, %s, %s, 0, 'trade')",
            (market.ids.next_id(), values["account_id"], values["asset_id"]),
        )
        assert found == "entry_refers"


def test_lists_prevented_matches_and_faults_have_foreign_keys(
    rows: psycopg.Connection, market: Market
) -> None:
    account_id, symbol_id = market.account_ids[0], market.symbol_id
    for found, name in (
        ((NOBODY, symbol_id), "orderlist_account_fk"),
        ((account_id, NOBODY), "orderlist_symbol_fk"),
    ):
        statement = (
            "INSERT INTO orders_orderlist (id, account_id, symbol_id, kind, created_at)"
            " VALUES (1, %s, %s, 'oco', now())"
        )
        assert refused_by(rows, statement, found) == name
    keys = rows.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'f' AND convalidated"
        " AND conname LIKE '%%\\_fk'"
    ).fetchall()
    assert {name for (name,) in keys} == {
        "orderlist_account_fk",
        "orderlist_symbol_fk",
        "prevented_symbol_fk",
        "prevented_maker_fk",
        "prevented_taker_fk",
        "enginefault_symbol_fk",
        "audited_account_fk",
        "audited_asset_fk",
    }


def test_what_is_named_is_not_deleted(rows: psycopg.Connection, market: Market) -> None:
    account_id = market.account_ids[0]
    statement = "DELETE FROM wallets_account WHERE id = %s"
    assert refused_by(rows, statement, (account_id,)) == "append_only"
    other = market_make(ids=market.ids, accounts=1)
    other.place(rows, 0, Side.BUY, 1, 100)
    rows.execute("DELETE FROM wallets_reservation WHERE symbol_id = %s", (other.symbol_id,))
    statement = "DELETE FROM exchange_symbol WHERE id = %s"
    assert refused_by(rows, statement, (other.symbol_id,)) == "symbol_named_stays"
    unused = market_make(ids=market.ids, accounts=0)
    rows.execute(statement, (unused.symbol_id,))
    assert not Symbol.objects.filter(pk=unused.symbol_id).exists()


def test_an_order_moves_along_the_table_and_no_other_way(
    rows: psycopg.Connection, market: Market
) -> None:
    """Every pair of statuses: the database allows the moves of orders/lifecycle.py, no others."""
    for current in OrderStatus:
        for target in set(OrderStatus) - {current}:
            order_id = market.place(rows, 0, Side.SELL, 1, 200)
            if current is not OrderStatus.NEW:  # from which every other one is one move away
                move(rows, order_id, current)
            if target in NEXT[current]:
                move(rows, order_id, target)
                continue
            with pytest.raises(psycopg.IntegrityError) as refusal:
                move(rows, order_id, target)
            assert refusal.value.diag.constraint_name == "order_moves", (current, target)


def move(db: psycopg.Connection, order_id: int, status: OrderStatus) -> None:
    db.execute(
        "UPDATE orders_order SET status = %(status)s::text,"
        " filled = CASE WHEN %(status)s::text = 'filled' THEN quantity ELSE filled END,"
        " engine_seq = CASE WHEN %(status)s::text = 'new' THEN NULL ELSE 1 END"
        " WHERE id = %(id)s",
        {"status": status, "id": order_id},
    )
