"""The rows of a sound partition with orders of every type, made from commands and the real engine.

`PartitionRows` writes the rows that intake, the worker and settlement leave once all is settled, in
plain statements of its own. A test corrupts a row and checks that the audit finds it.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from exchange.domain.enums import ListKind, OrderType, SymbolState, TimeInForce, TriggerSource
from exchange.domain.ids import id_floor
from matching.engine import messages as m
from matching.engine.core import Engine
from matching.engine.journal import Sequenced
from matching.engine.messages import NO_TERMS
from matching.engine.resting import RestingOrder
from matching.state.codec import encode_journal
from matching.state.hash import open_order, state_hash
from matching.state.snapshot import snapshot_encode
from orders.commands.words import LIST_KINDS, SELF_TRADE_TEXTS, SIDE_TEXTS
from tests.factories.ledger import symbol_make
from tests.factories.models import accounts_at
from wallets.fees import fee_ceil, reservation_atoms

PARTITION = 1
MAKER_PPM, TAKER_PPM = 500, 1_000
TRADES_FROM = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TYPES = {
    (m.TRIGGER_NONE, False): OrderType.LIMIT,
    (m.TRIGGER_NONE, True): OrderType.MARKET,
    (m.TRIGGER_STOP, False): OrderType.STOP_LIMIT,
    (m.TRIGGER_STOP, True): OrderType.STOP_MARKET,
    (m.TRIGGER_TAKE, False): OrderType.TAKE_PROFIT_LIMIT,
    (m.TRIGGER_TAKE, True): OrderType.TAKE_PROFIT,
    (m.TRIGGER_TRAILING, True): OrderType.TRAILING_STOP,
}
ORDER_COLUMNS = (
    "id, account_id, symbol_id, client_order_id, side, type, time_in_force, post_only, self_trade,"
    " price, bound_price, quantity, stop_price, trigger_source, trail_amount, trail_ppm,"
    " activation_price, display_quantity, expires_at, reprice, bound_trail_ppm, reprice_limit,"
    " list_id, group_id, owner_tag,"
    " status, filled, filled_quote, maker_fee_ppm, taker_fee_ppm, engine_seq, priority_seq,"
    " created_at, updated_at"
)
RESERVATION_COLUMNS = (
    "order_id, account_id, asset_id, symbol_id, side, price_ticks, amount, maker_fee_ppm,"
    " taker_fee_ppm, fee_accrued, pool_id, funded_by, left_lots"
)


class PartitionRows:
    """One symbol of partition 1. Prices in ticks, quantities in lots; a test numbers its orders."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.units = symbol_make().units()
        self.engine = Engine()
        self.pending: list[Sequenced] = []
        self.places: dict[int, m.Place] = {}
        self.lists: dict[int, m.PlaceList] = {}
        self.accrued: dict[int, int] = {}
        self.sequence_of: dict[int, int] = {}
        self.trades: list[tuple[int, m.Trade]] = []
        # Tables have partitions for ids of today.
        self.first_id = id_floor(time.time_ns() // 1_000_000)

    def id(self, number: int) -> int:
        """Return the id of the order or list that the test calls by this number."""
        return self.first_id + number

    def place(self, number: int, side: int, lots: int, ticks: int, **options: Any) -> m.Place:
        """Return the command of an order; its account has its number unless told otherwise."""
        options.setdefault("account_id", number)
        order_id = self.id(number)
        if options.get("market"):
            options["time_in_force"] = m.IOC
        return m.Place(
            command_id=order_id,
            time_ms=0,
            symbol_id=self.units.symbol_id,
            order_id=order_id,
            side=side,
            price_ticks=ticks,
            quantity_lots=lots,
            **options,
        )

    def enter(self, number: int, side: int, lots: int, ticks: int, **options: Any) -> None:
        self.apply(self.place(number, side, lots, ticks, **options))

    def enter_list(self, number: int, kind: int, *places: m.Place) -> None:
        list_id = self.id(number)
        command = m.PlaceList(list_id, 0, self.units.symbol_id, list_id, kind, list(places))
        self.lists |= {one.order_id: command for one in places}
        self.apply(command)

    def apply(self, command: m.Command) -> None:
        places = command.orders if isinstance(command, m.PlaceList) else [command]
        events = self.engine.apply(command)
        rules = self.engine.rules
        self.pending.append(Sequenced(self.engine.sequence, command, events, rules))
        for place in places:
            if isinstance(place, m.Place):
                self.places[place.order_id] = place
                self.sequence_of[place.order_id] = self.engine.sequence
        for event in events:
            if isinstance(event, m.Trade):
                self.trades.append((self.engine.sequence, event))
                self._accrue(event.maker_order_id, event, MAKER_PPM)
                self._accrue(event.taker_order_id, event, TAKER_PPM)

    def _accrue(self, order_id: int, event: m.Trade, fee_ppm: int) -> None:
        notional = self.units.notional_atoms(event.price_ticks, event.quantity_lots)
        self.accrued[order_id] = self.accrued.get(order_id, 0) + notional * fee_ppm

    # --- what the worker leaves

    def commit(self, *, image: bool = False) -> None:
        """Write a journal row and the checkpoint of what was applied, and a snapshot if wanted."""
        rows, self.pending = self.pending, []
        last_seq, digest = rows[-1].sequence, state_hash(self.engine)
        self.connection.execute(
            "INSERT INTO orders_enginejournal (partition_id, epoch, first_seq, last_seq, events,"
            " frames, trade_ids, state_hash, created_at)"
            " VALUES (%s, 1, %s, %s, %s, '', '{}', %s, now())",
            (PARTITION, rows[0].sequence, last_seq, encode_journal(rows), digest),
        )
        self.connection.execute(
            "UPDATE orders_enginepartition SET last_seq = %s, state_hash = %s WHERE id = %s",
            (last_seq, digest, PARTITION),
        )
        self.connection.execute(
            "UPDATE orders_settlementcursor SET last_seq = %s WHERE partition_id = %s",
            (last_seq, PARTITION),
        )
        if image:
            self.connection.execute(
                "INSERT INTO orders_engineimage (partition_id, last_seq, image, created_at)"
                " VALUES (%s, %s, %s, now())",
                (PARTITION, last_seq, snapshot_encode(self.engine)),
            )

    def rows_write(self, state: SymbolState = SymbolState.OPEN) -> None:
        """Write the row and the reservation of every open order, and all trades."""
        book = self.engine.book(self.units.symbol_id)
        for order_id in self.places:
            if open_order(book, order_id) is not None:
                self._order_write(order_id, book.orders.get(order_id))
                self._reservation_write(order_id)
        for number, (sequence, trade) in enumerate(self.trades, start=1):
            self._trade_write(number, sequence, trade)
        self.connection.execute(
            "UPDATE exchange_symbol SET state = %s WHERE id = %s", (state, self.units.symbol_id)
        )

    def left_lots(self, order_id: int) -> int:
        resting = self.engine.book(self.units.symbol_id).orders.get(order_id)
        if resting is not None:
            return resting.left_lots + resting.hidden_lots
        return self.places[order_id].quantity_lots

    def _order_write(self, order_id: int, resting: RestingOrder | None) -> None:
        place, units = self.places[order_id], self.units
        terms = place.terms or NO_TERMS
        price = units.price(resting.price_ticks if resting else place.price_ticks)
        filled = place.quantity_lots - self.left_lots(order_id)
        status = "partially_filled" if filled else "open" if resting else "waiting"
        tif = {m.GTC: TimeInForce.GTC, m.IOC: TimeInForce.GTC, m.FOK: TimeInForce.FOK}
        sources = {m.SOURCE_LAST: TriggerSource.LAST, m.SOURCE_BEST: TriggerSource.BEST}
        values = (
            order_id,
            place.account_id,
            units.symbol_id,
            f"c{order_id}",
            SIDE_TEXTS[place.side],
            TYPES[terms.trigger, place.market],
            TimeInForce.GTD if terms.expire_ms else tif[place.time_in_force],
            place.post_only,
            SELF_TRADE_TEXTS[place.self_trade],
            None if place.market else price,
            price if place.market else None,
            units.quantity(place.quantity_lots),
            units.price(terms.stop_ticks) if terms.stop_ticks else None,
            sources[terms.source] if terms.trigger else None,
            units.price(terms.trail_ticks) if terms.trail_ticks else None,
            terms.trail_ppm or None,
            units.price(terms.activation_ticks) if terms.activation_ticks else None,
            units.quantity(terms.display_lots) if terms.display_lots else None,
            EPOCH + timedelta(milliseconds=terms.expire_ms) if terms.expire_ms else None,
            terms.reprice,
            terms.bound_ppm or None,
            units.price(terms.reprice_limit_ticks) if terms.reprice_limit_ticks else None,
            self.lists[order_id].list_id if order_id in self.lists else None,
            place.group_id,
            place.owner_tag,
            status,
            units.quantity(filled),
            0,
            MAKER_PPM,
            TAKER_PPM,
            self.sequence_of[order_id],
            resting.priority if resting else self.sequence_of[order_id],
        )
        accounts_at(place.account_id)
        marks = ", ".join(["%s"] * len(values))
        self.connection.execute(
            f"INSERT INTO orders_order ({ORDER_COLUMNS}) VALUES ({marks}, now(), now())", values
        )

    def _reservation_write(self, order_id: int) -> None:
        place, units = self.places[order_id], self.units
        pool_id, funded_by, atoms = self._link(order_id)
        scale = units.quote_scale if place.side == m.BUY else units.base_scale
        is_linked = pool_id is not None or funded_by is not None
        values = (
            order_id,
            place.account_id,
            units.quote_asset_id if place.side == m.BUY else units.base_asset_id,
            units.symbol_id,
            SIDE_TEXTS[place.side],
            place.price_ticks,
            f"{atoms}e-{scale}",
            MAKER_PPM,
            TAKER_PPM,
            self.accrued.get(order_id, 0),
            pool_id,
            funded_by,
            self.left_lots(order_id) if is_linked else None,
        )
        self.connection.execute(
            f"INSERT INTO wallets_reservation ({RESERVATION_COLUMNS})"
            " VALUES (%s, %s, %s, %s, %s, %s, %s::numeric, %s, %s, %s, %s, %s, %s)",
            values,
        )

    def required_atoms(self, order_id: int) -> int:
        place = self.places[order_id]
        return reservation_atoms(
            place.side,
            self.left_lots(order_id),
            place.price_ticks,
            self.units,
            self.accrued.get(order_id, 0),
            TAKER_PPM,
        )

    def _link(self, order_id: int) -> tuple[int | None, int | None, int]:
        """(pool, payer, atoms) of an order: a pool's sum stands on its first order's row."""
        order_list = self.lists.get(order_id)
        if order_list is None:
            return None, None, self.required_atoms(order_id)
        ids = [one.order_id for one in order_list.orders]
        pool = ids if order_list.kind == LIST_KINDS[ListKind.OCO] else ids[1:]
        parent_id = 0 if pool is ids else ids[0]
        if order_id == parent_id:
            return None, None, self.required_atoms(order_id)
        is_pool = len(pool) == 2
        atoms = max(map(self.required_atoms, pool))
        is_paid = bool(parent_id) and self.places[parent_id].side != self.places[order_id].side
        if is_paid:
            atoms = min(atoms, self.brought_in_atoms(parent_id))
        return (
            order_list.list_id if is_pool else None,
            parent_id if is_paid else None,
            atoms if order_id == pool[0] else 0,
        )

    def brought_in_atoms(self, order_id: int) -> int:
        place, units = self.places[order_id], self.units
        fills = [
            trade
            for _, trade in self.trades
            if order_id in (trade.maker_order_id, trade.taker_order_id)
        ]
        if place.side == m.BUY:
            return sum(units.base_atoms(trade.quantity_lots) for trade in fills)
        quote = sum(units.notional_atoms(one.price_ticks, one.quantity_lots) for one in fills)
        return quote - fee_ceil(self.accrued.get(order_id, 0))

    def _trade_write(self, trade_id: int, sequence: int, trade: m.Trade) -> None:
        units = self.units
        accounts_at(trade.maker_account_id, trade.taker_account_id)
        self.connection.execute(
            "INSERT INTO orders_trade (id, symbol_id, engine_seq, price, quantity, quote_amount,"
            " maker_order_id, taker_order_id, maker_account_id, taker_account_id, taker_side,"
            " created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())",
            (
                self.id(TRADES_FROM + trade_id),
                units.symbol_id,
                sequence,
                units.price(trade.price_ticks),
                units.quantity(trade.quantity_lots),
                units.quote_decimal(units.notional_atoms(trade.price_ticks, trade.quantity_lots)),
                trade.maker_order_id,
                trade.taker_order_id,
                trade.maker_account_id,
                trade.taker_account_id,
                SIDE_TEXTS[trade.taker_side],
            ),
        )
