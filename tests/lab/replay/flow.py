"""Recorded order flows: reading, writing and measuring them.

A recording is a folder with `flow.csv.gz` (or `flow.csv`): one command a line in the order in
which the venue processed them, and `trades.csv`: what the venue traded. The columns are described
in docs/benchmarks.md. Everything here streams: a recording may be larger than memory.
"""

import csv
import gzip
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, Literal, TextIO

from config.demo.flow import FlowCommand, FlowTrade

FLOW_COLUMNS: Final = (
    "time_ms",
    "action",
    "order_id",
    "side",
    "type",
    "price",
    "quantity",
    "quote_amount",
)
TRADE_COLUMNS: Final = (
    "time_ms",
    "price",
    "quantity",
    "buy_order_id",
    "sell_order_id",
    "taker_side",
)
# How a flow's folder names its file of trades.
TRADES_NAME: Final = "trades.csv"

_ORDER_TYPES: Final = frozenset({"limit", "post_only", "market"})
_SIDES: Final = frozenset({"buy", "sell"})


class FlowError(ValueError):
    """A line of a recording that does not follow the format."""


@contextmanager
def _text(path: Path, mode: Literal["rt", "wt"] = "rt") -> Iterator[TextIO]:
    if path.suffix == ".gz":
        with gzip.open(path, mode, encoding="utf-8", newline="") as stream:
            yield stream
    else:
        with path.open(mode, encoding="utf-8", newline="") as stream:
            yield stream


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    with _text(path) as stream:
        rows = csv.reader(stream)
        header = next(rows, None)
        if header != list(columns):
            raise FlowError(f"{path}: the first line must be {','.join(columns)}")
        for number, row in enumerate(rows, start=2):
            if len(row) != len(columns):
                raise FlowError(f"{path}:{number}: {len(columns)} columns expected")
            yield number, row


def flow_read(path: Path) -> Iterator[FlowCommand]:
    """Yield the commands of a flow in order. Raises FlowError at the first wrong line."""
    for number, row in _rows(path, FLOW_COLUMNS):
        try:
            yield _command(row)
        except (ValueError, InvalidOperation) as error:
            raise FlowError(f"{path}:{number}: {error}") from error


def _command(row: list[str]) -> FlowCommand:
    time_ms, action, order_id, side, kind, price, quantity, quote_amount = row
    if action == "cancel":
        return FlowCommand(int(time_ms), action, int(order_id))
    if action != "new":
        raise FlowError(f"unknown action {action!r}")
    if side not in _SIDES or kind not in _ORDER_TYPES:
        raise FlowError(f"unknown side {side!r} or type {kind!r}")
    if (kind == "market") != (price == ""):
        raise FlowError("a market order has no price, every other order has one")
    if (quantity == "") == (quote_amount == ""):
        raise FlowError("either a quantity or a quote amount")
    return FlowCommand(
        int(time_ms),
        action,
        int(order_id),
        side,
        kind,
        _decimal(price),
        _decimal(quantity),
        _decimal(quote_amount),
    )


def _decimal(text: str) -> Decimal | None:
    if not text:
        return None
    value = Decimal(text)
    if not value.is_finite() or value < 0:
        raise FlowError(f"not an amount: {text!r}")
    return value


def trades_read(path: Path) -> Iterator[FlowTrade]:
    """Yield the expected trades of a flow in order. Raises FlowError at the first wrong line."""
    for number, row in _rows(path, TRADE_COLUMNS):
        try:
            if row[5] not in _SIDES:
                raise FlowError(f"unknown side {row[5]!r}")
            yield FlowTrade(
                int(row[0]), Decimal(row[1]), Decimal(row[2]), int(row[3]), int(row[4]), row[5]
            )
        except (ValueError, InvalidOperation) as error:
            raise FlowError(f"{path}:{number}: {error}") from error


def flow_write(path: Path, commands: Iterable[FlowCommand]) -> int:
    """Write a flow; return the number of commands. `.gz` in the name compresses it."""
    return _write(path, FLOW_COLUMNS, commands)


def trades_write(path: Path, trades: Iterable[FlowTrade]) -> int:
    """Write the trades that belong to a flow; return their number."""
    return _write(path, TRADE_COLUMNS, trades)


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> int:
    count = 0
    with _text(path, "wt") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(value) for value in row])
            count += 1
    return count


def _cell(value: object) -> str:
    if value is None:
        return ""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


@dataclass(slots=True)
class FlowExtent:
    """Totals and grid of a flow, needed before its replay. Amounts in quote or base units."""

    commands: int = 0
    orders: int = 0
    cancels: int = 0
    price_max: Decimal = Decimal(0)
    quantity_max: Decimal = Decimal(0)
    quantity_total: Decimal = Decimal(0)  # of sells
    notional_bound: Decimal = Decimal(0)  # of all buys: reservations never exceed it
    tick: Decimal = Decimal(1)  # the greatest power of ten, at most 1, that divides every price
    lot: Decimal = Decimal(1)  # likewise for quantities
    _cancelled: "array[int]" = field(default_factory=lambda: array("Q"), repr=False)

    def is_cancelled(self, order_id: int) -> bool:
        """Tell whether the flow holds a cancel of that order. O(log n) in packed memory."""
        place = bisect_left(self._cancelled, order_id)
        return place < len(self._cancelled) and self._cancelled[place] == order_id


def flow_measure(path: Path) -> FlowExtent:
    """Read a whole flow once and return its extent."""
    extent = FlowExtent()
    cancelled = array("Q")
    price_places = quantity_places = 0
    market_quantity = Decimal(0)
    for command in flow_read(path):
        extent.commands += 1
        if command.action == "cancel":
            extent.cancels += 1
            cancelled.append(command.order_id)
            continue
        extent.orders += 1
        price, quantity = command.price, command.quantity
        if price is not None:
            extent.price_max = max(extent.price_max, price)
            price_places = max(price_places, _places(price))
        if quantity is not None:
            extent.quantity_max = max(extent.quantity_max, quantity)
            quantity_places = max(quantity_places, _places(quantity))
        if command.side == "sell":
            extent.quantity_total += quantity or 0
        else:
            extent.notional_bound += command.quote_amount or (price or 0) * (quantity or 0)
            if price is None:
                market_quantity += quantity or 0
    extent.notional_bound += market_quantity * extent.price_max
    extent.tick = Decimal(1).scaleb(-price_places)
    extent.lot = Decimal(1).scaleb(-quantity_places)
    extent._cancelled = array("Q", sorted(cancelled))
    return extent


def _places(value: Decimal) -> int:
    """Return the number of significant decimal places: 1 for 1.50."""
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)
