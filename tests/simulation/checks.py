"""What must hold after a simulated life: rows, journal, money, feed and a restart agree.

Compared with each other, with the naive engine, and by the audit, which was written against the
tables alone.
"""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import msgspec
import psycopg

from matching.engine.journal import Sequenced
from matching.engine.messages import (
    ALL_ACCOUNTS,
    BUY,
    SELL,
    Amend,
    Cancel,
    CancelAll,
    Command,
    CommandRefused,
    Continue,
    ContinueNeeded,
    Event,
    Expire,
    OrderCancelled,
    OrderRejected,
    OrderTriggered,
    PhaseChanged,
    Place,
    PlaceList,
    RefuseFaulty,
    SelfTradePrevented,
    Trade,
)
from matching.state.codec import decode_journal
from matching.state.hash import state_hash
from orders.commands.words import STATE_TEXTS
from risk.audit.run import audit_run
from tests.oracles.naive.book import NaiveEngine
from tests.simulation.world import Simulation

LIVE = ("waiting", "open", "partially_filled")


def check(simulation: Simulation) -> None:
    orders = orders_of(simulation)
    journal = journal_of(simulation)
    check_orders(simulation, orders)
    check_sequence(simulation, journal)
    check_events_against_the_naive_engine(simulation, journal, orders)
    check_trades(simulation, journal, orders)
    check_prevented(simulation, journal)
    check_reservations(simulation, orders)
    check_ledger(simulation)
    check_feed(simulation)
    check_state_feed(simulation)
    check_reload(simulation)
    count_what_happened(simulation, journal)


def count_what_happened(simulation: Simulation, journal: list[Sequenced]) -> None:
    """Commands and events by their names, ends by their codes: for the test of the tests."""
    happened = simulation.happened
    for row in journal:
        happened[type(row.command).__name__] += 1
        for event in row.events:
            happened[type(event).__name__] += 1
            if isinstance(event, OrderCancelled | OrderRejected | CommandRefused):
                happened[event.code] += 1
            elif isinstance(event, PhaseChanged):
                happened[f"phase {event.phase}"] += 1
            elif isinstance(event, OrderTriggered) and not event.at_ticks:
                happened["released by its list"] += 1


def rows(simulation: Simulation, statement: str, *params: object) -> list[Any]:
    return simulation.db.execute(statement, params).fetchall()


def orders_of(simulation: Simulation) -> dict[int, dict[str, Any]]:
    found = rows(
        simulation,
        "SELECT id, status, quantity, filled, filled_quote FROM orders_order WHERE symbol_id = %s",
        simulation.market.symbol_id,
    )
    names = ("id", "status", "quantity", "filled", "filled_quote")
    return {row[0]: dict(zip(names, row, strict=True)) for row in found}


def journal_of(simulation: Simulation) -> list[Sequenced]:
    """All that was sequenced; it has no gap."""
    journal: list[Sequenced] = []
    for (encoded,) in rows(
        simulation,
        "SELECT events FROM orders_enginejournal WHERE partition_id = %s ORDER BY last_seq",
        simulation.market.partition_id,
    ):
        journal += decode_journal(encoded)
    assert [row.sequence for row in journal] == list(range(1, len(journal) + 1))
    return journal


def check_orders(simulation: Simulation, orders: dict[int, dict[str, Any]]) -> None:
    """O1: every acknowledged order has a live or final state; none is left as new."""
    placed = {one.order_id for one in simulation.clients.placed}
    assert placed <= orders.keys()
    assert "new" not in {order["status"] for order in orders.values()}


def check_sequence(simulation: Simulation, journal: list[Sequenced]) -> None:
    """Every accepted command has exactly one place in the sequence, and rows know which.

    Only what the worker itself goes on with or finds due has no row.
    """
    market = simulation.market
    known = dict(
        rows(
            simulation,
            "SELECT id, engine_seq FROM orders_order WHERE symbol_id = %s UNION ALL"
            " SELECT id, engine_seq FROM orders_command WHERE partition_id = %s",
            market.symbol_id,
            market.partition_id,
        )
    )
    assert set(simulation.acknowledged) <= known.keys()
    expected: dict[int, int] = {}
    for row in journal:
        for command_id in _rows_of(row.command):
            assert command_id not in expected, "nothing is sequenced twice"
            expected[command_id] = row.sequence
    assert known == expected


def _rows_of(command: Command) -> list[int]:
    if isinstance(command, Continue | Expire):
        return []
    if isinstance(command, PlaceList):
        return [place.order_id for place in command.orders]
    return [command.command_id]


def check_events_against_the_naive_engine(
    simulation: Simulation, journal: list[Sequenced], orders: dict[int, dict[str, Any]]
) -> None:
    """D1, B2: the journal replays to the same events, wherever the engine cut its work."""
    naive = NaiveEngine()
    owed: list[Event] = []  # what the naive engine told, and the engine has still to tell
    entered: list[Place] = []
    mass_cancels: list[CancelAll] = []
    for row in journal:
        check_dependency_order(row.command, entered, mass_cancels)
        if not isinstance(row.command, Continue):
            owed += naive.apply(row.command)
        told = [event for event in row.events if not isinstance(event, ContinueNeeded)]
        assert told == owed[: len(told)], f"sequence {row.sequence}: {row.command}"
        del owed[: len(told)]
        assert not owed or isinstance(row.events[-1], ContinueNeeded), f"sequence {row.sequence}"
    assert not owed, "the worker goes on until all is done"
    market = naive.markets.get(simulation.market.symbol_id)
    open_ids = {one.order_id for one in (*market.orders, *market.waiting)} if market else set()
    assert open_ids == {one["id"] for one in orders.values() if one["status"] in LIVE}
    waiting = {one.order_id for one in market.waiting} if market else set()
    assert waiting == {one["id"] for one in orders.values() if one["status"] == "waiting"}


def check_dependency_order(
    command: Command, entered: list[Place], mass_cancels: list[CancelAll]
) -> None:
    """F20: no cancel or amend is sequenced before its order, no cancel-all before what it means.

    `entered` collects the orders so far, `mass_cancels` the cancel-alls.
    """
    if isinstance(command, Place | PlaceList):
        for place in command.orders if isinstance(command, PlaceList) else [command]:
            for earlier in mass_cancels:
                is_meant = earlier.account_id in (ALL_ACCOUNTS, place.account_id)
                if is_meant and earlier.owner_tag in (0, place.owner_tag):
                    assert place.order_id > earlier.command_id, "a cancel-all came too early"
            entered.append(place)
    elif isinstance(command, Cancel | Amend):
        assert command.order_id in {place.order_id for place in entered}
    elif isinstance(command, CancelAll):
        mass_cancels.append(command)
    elif isinstance(command, RefuseFaulty) and command.is_place:
        entered.append(Place(command.order_id, 0, 0, command.order_id, 0, BUY, 1, 1))


def check_trades(
    simulation: Simulation, journal: list[Sequenced], orders: dict[int, dict[str, Any]]
) -> None:
    """O2, O5: the trades are those of the events, each once, and orders have filled their sums."""
    units = simulation.market.rules.units
    filled: dict[int, int] = defaultdict(int)
    expected = []
    for row in journal:
        for event in row.events:
            if isinstance(event, Trade):
                makes = (event.maker_order_id, event.taker_order_id)
                price, quantity = units.price(event.price_ticks), event.quantity_lots
                expected.append((*makes, price, units.quantity(quantity)))
                for order_id in makes:
                    filled[order_id] += quantity
    trade_ids = [
        trade_id
        for (ids,) in rows(
            simulation,
            "SELECT trade_ids FROM orders_enginejournal WHERE partition_id = %s ORDER BY last_seq",
            simulation.market.partition_id,
        )
        for trade_id in ids
    ]
    trades = {
        row[0]: row[1:]
        for row in rows(
            simulation,
            "SELECT id, maker_order_id, taker_order_id, price, quantity FROM orders_trade"
            " WHERE symbol_id = %s",
            simulation.market.symbol_id,
        )
    }
    assert [trades[trade_id] for trade_id in trade_ids] == expected
    assert len(trades) == len(trade_ids)
    for order_id, order in orders.items():
        assert order["filled"] == units.quantity(filled[order_id])


def check_prevented(simulation: Simulation, journal: list[Sequenced]) -> None:
    """Each match that self-trade prevention did not let happen is kept, once."""
    kept = rows(
        simulation,
        "SELECT engine_seq, maker_order_id, taker_order_id FROM orders_preventedmatch"
        " WHERE symbol_id = %s",
        simulation.market.symbol_id,
    )
    assert sorted(kept) == sorted(
        (row.sequence, event.maker_order_id, event.taker_order_id)
        for row in journal
        for event in row.events
        if isinstance(event, SelfTradePrevented)
    )


def check_reservations(simulation: Simulation, orders: dict[int, dict[str, Any]]) -> None:
    """L5: no reservation without an open order, and balances reserve just their sum."""
    held = rows(
        simulation,
        "SELECT order_id, account_id, asset_id, amount, pending_amend_id"
        " FROM wallets_reservation WHERE symbol_id = %s",
        simulation.market.symbol_id,
    )
    live = {one["id"] for one in orders.values() if one["status"] in LIVE}
    assert {row[0] for row in held} == live
    assert [row[0] for row in held if row[4] is not None] == [], "no amend is left pending"
    sums: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
    for _, account_id, asset_id, amount, _ in held:
        sums[account_id, asset_id] += amount
    for account_id, asset_id, _, reserved in balances(simulation):
        assert reserved == sums[account_id, asset_id]


def balances(simulation: Simulation) -> list[Any]:
    market = simulation.market
    return rows(
        simulation,
        "SELECT account_id, asset_id, available, reserved FROM wallets_balance"
        " WHERE asset_id IN (%s, %s)",
        market.base_id,
        market.quote_id,
    )


def check_ledger(simulation: Simulation) -> None:
    """L2, L3, L4: nothing appears or vanishes, and every balance is the sum of its entries."""
    market = simulation.market
    entries = {
        (account_id, asset_id): total
        for account_id, asset_id, total in rows(
            simulation,
            "SELECT account_id, asset_id, sum(amount) FROM wallets_entry"
            " WHERE asset_id IN (%s, %s) GROUP BY 1, 2",
            market.base_id,
            market.quote_id,
        )
    }
    totals: dict[int, Decimal] = defaultdict(Decimal)
    for account_id, asset_id, available, reserved in balances(simulation):
        totals[asset_id] += available + reserved
        assert available + reserved == entries.get((account_id, asset_id), 0)
        if account_id in market.account_ids:
            assert available >= 0
    assert set(totals.values()) == {Decimal(0)}


def check_feed(simulation: Simulation) -> None:
    """W1, W2: the sequence has no gap over all restarts, and the deltas add up to the book."""
    text = simulation.market.rules.units.code
    sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
    sequence = 0
    for delta in simulation.feed.bodies(f"{text}@depth"):
        if delta["sequence"] <= sequence:  # told again after a restart
            continue
        assert delta["sequence"] == sequence + 1 == delta["previous"] + 1
        sequence = delta["sequence"]
        for side, levels in sides.items():
            for price, quantity in delta[side]:
                levels[price] = quantity
                if quantity == "0":
                    del levels[price]
    assert simulation.process is not None
    book = simulation.process.loaded.engine.book(simulation.market.symbol_id)
    depth = book.depth(1_000)
    assert [len(sides["bids"]), len(sides["asks"])] == [len(one) for one in depth]
    units = simulation.market.rules.units
    for name, code in (("bids", BUY), ("asks", SELL)):
        for price, quantity in sides[name].items():
            ticks = units.price_ticks(Decimal(price))
            assert units.quantity(book.level_quantity(code, ticks)) == Decimal(quantity)
    check_private_feed(simulation)


def check_state_feed(simulation: Simulation) -> None:
    """The last that was told of the market's state is how it stands."""
    assert simulation.process is not None
    state = simulation.process.loaded.engine.book(simulation.market.symbol_id).state
    told = simulation.feed.bodies(f"{simulation.market.rules.units.code}@state")
    assert (told[-1]["state"] if told else "open") == STATE_TEXTS[state]


def check_private_feed(simulation: Simulation) -> None:
    """W3: every fill of an account is told at least once."""
    told = {
        (topic, fill["trade_id"], fill["role"])
        for topic, frame in simulation.feed.frames
        if topic.startswith("account:")
        for fill in msgspec.json.decode(frame).get("fills", ())
    }
    for trade_id, maker, taker in rows(
        simulation,
        "SELECT id, maker_account_id, taker_account_id FROM orders_trade WHERE symbol_id = %s",
        simulation.market.symbol_id,
    ):
        assert (f"account:{maker}", str(trade_id), "maker") in told
        assert (f"account:{taker}", str(trade_id), "taker") in told


def check_reload(simulation: Simulation) -> None:
    """B3: killed and loaded again, the engine is the same."""
    assert simulation.process is not None
    before = state_hash(simulation.process.loaded.engine)
    process = simulation.reload()
    assert process.loaded.is_hash_equal
    assert state_hash(process.loaded.engine) == before
    process.loaded.engine.check()


def check_audit(db: psycopg.Connection) -> None:
    """Everything is settled: the audit of all tables is green, and looked at all of it."""
    report = audit_run(db, full=True)
    assert [(one.invariant, one.detail) for one in report.breaches] == []
    assert report.skipped == {}
