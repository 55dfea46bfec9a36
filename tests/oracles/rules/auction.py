"""Auctions: all trades at one price (20.8-20.10, 21)."""

import copy
from dataclasses import dataclass

from matching.engine import messages as m
from tests.oracles.rules.following import follow_lists, release_all
from tests.oracles.rules.market import Market
from tests.oracles.rules.order import Order, Where
from tests.oracles.rules.trading import after_loss, trade


@dataclass
class Outcome:
    """The result of an auction now (21.6); price 0: nothing would trade."""

    price: int
    lots: int
    surplus: int  # lots that buyers would buy at the price, less lots that sellers would sell


def outcome(market: Market) -> Outcome:
    """Find the price: play matches on a copy, then rank all prices (21.1-21.4, 21.6, 21.8)."""
    trial = copy.deepcopy(market)
    traded = walk(trial, 1)
    if not traded:
        return Outcome(0, 0, 0)
    counted = [(order.side, order.price, order.left) for order in both_sides(trial)]
    for order, lots in traded:
        counted.append((order.side, order.price, lots))
    lowest = min(price for side, price, _ in counted if side == m.SELL)
    highest = max(price for side, price, _ in counted if side == m.BUY)
    reference = market.band.reference or market.last  # 21.3

    def rank(price: int) -> tuple[int, int, int, int]:
        buys, sells = wanted_at(counted, price)
        distance = abs(price - reference) if reference else 0
        return -min(buys, sells), abs(buys - sells), distance, price

    price = min(range(lowest, highest + 1), key=rank)
    buys, sells = wanted_at(counted, price)
    assert min(buys, sells) == sum(lots for _, lots in traded) // 2, "all that could trade, trades"
    return Outcome(price, min(buys, sells), buys - sells)


def wanted_at(counted: list[tuple[int, int, int]], price: int) -> tuple[int, int]:
    """Return the lots that buyers would buy and sellers sell at a price, hidden parts included."""
    buys = sum(lots for side, own, lots in counted if side == m.BUY and own >= price)
    sells = sum(lots for side, own, lots in counted if side == m.SELL and own <= price)
    return buys, sells


def walk(market: Market, price: int) -> list[tuple[Order, int]]:
    """Match front with front until the best buy is below the best sell (21.5, 21.7-21.9).

    Return (order, lots) for both orders of each trade.
    """
    traded: list[tuple[Order, int]] = []
    while is_crossed(market):
        fronts = market.side(m.BUY)[0], market.side(m.SELL)[0]
        older, younger = sorted(fronts, key=lambda order: order.age)
        lots = min(older.shown, younger.shown)
        if older.is_own_of(younger) and younger.mode != m.STP_NONE:  # 21.8
            _prevent(market, older, younger, lots)
        else:
            younger.shown -= lots
            trade(market, older, younger, price, lots)  # 21.9
            after_loss(market, younger)
            traded += [(older, lots), (younger, lots)]
        follow_lists(market)  # 20.9
        release_all(market)
    return traded


def _prevent(market: Market, older: Order, younger: Order, lots: int) -> None:
    """End the younger of two own orders with all its rest (21.8, 21.11)."""
    market.tell(
        m.SelfTradePrevented(
            older.id,
            younger.id,
            older.account,
            younger.account,
            younger.side,
            older.price,
            lots,
            m.STP_CANCEL_INCOMING,
        )
    )
    market.cancel(younger, m.SELF_TRADE)


def is_crossed(market: Market) -> bool:
    """Tell whether the best buy is at or above the best sell."""
    buy, sell = market.best(m.BUY), market.best(m.SELL)
    return buy != 0 and sell != 0 and buy >= sell


def both_sides(market: Market) -> list[Order]:
    """Return all resting orders."""
    return market.side(m.BUY) + market.side(m.SELL)


def end_market_orders(market: Market, code: str) -> None:
    """End the market orders left after an auction (20.10)."""
    left = [one for one in market.orders if one.is_market and one.where is Where.BOOK]
    for order in sorted(left, key=lambda one: one.id):
        market.cancel(order, code)
