"""Builders of the engine's commands; no other module builds a command for an accepted request.

Intake publishes these commands right after its commit. The worker rebuilds them from the rows when
a stream entry was lost. Both must give equal commands, so the builders are pure and take only what
the rows hold: integers, and the id that carries the time.

Units: prices in ticks, quantities in lots, budgets in tick-lots (ticks x lots).
"""

from collections.abc import Sequence

from exchange.domain.ids import id_time_ms
from matching.engine.messages import (
    BUY,
    GTC,
    IOC,
    OCO,
    OTOCO,
    SELL,
    STP_CANCEL_INCOMING,
    Amend,
    Cancel,
    CancelAfter,
    CancelAll,
    Place,
    PlaceList,
    SetBand,
    SetFeature,
    SetLimits,
    SetState,
    Terms,
)

BOTH_SIDES = -1


def place_command(
    *,
    order_id: int,
    symbol_id: int,
    account_id: int,
    side: int,
    price_ticks: int,
    quantity_lots: int,
    time_in_force: int = GTC,
    post_only: bool = False,
    market: bool = False,
    budget_ticklots: int = 0,
    self_trade: int = STP_CANCEL_INCOMING,
    group_id: int = 0,
    owner_tag: int = 0,
    terms: Terms | None = None,
) -> Place:
    """Build the command that enters an order. `price_ticks` of a market order is its bound.

    `budget_ticklots` > 0 means a market order by quote amount, with `quantity_lots` 0. `terms` is
    None for a plain order, so that equal orders give equal commands. The command's time is the
    time in its id, on the stream and after a reload.
    """
    assert side in (BUY, SELL)
    assert (quantity_lots > 0) != (budget_ticklots > 0)
    assert not market or time_in_force == IOC
    assert terms is None or terms != Terms(), "no terms are None"
    return Place(
        order_id,
        id_time_ms(order_id),
        symbol_id,
        order_id,
        account_id,
        side,
        price_ticks,
        quantity_lots,
        time_in_force,
        post_only,
        market,
        budget_ticklots,
        self_trade,
        group_id,
        owner_tag,
        terms,
    )


def place_list_command(
    *, list_id: int, symbol_id: int, kind: int, orders: Sequence[Place]
) -> PlaceList:
    """Build the command that enters a list, with its orders by ascending id, a parent first."""
    assert OCO <= kind <= OTOCO
    ids = [list_id, *(order.order_id for order in orders)]
    assert ids == sorted(set(ids)), "the list's id comes first, then its orders' in their order"
    return PlaceList(list_id, id_time_ms(list_id), symbol_id, list_id, kind, list(orders))


def cancel_command(*, command_id: int, symbol_id: int, order_id: int) -> Cancel:
    """Build the command that cancels one order."""
    return Cancel(command_id, id_time_ms(command_id), symbol_id, order_id)


def amend_command(
    *,
    command_id: int,
    symbol_id: int,
    order_id: int,
    keep_priority: bool = False,
    **terms: int,
) -> Amend:
    """Build the command that gives an order new `terms`, named as the fields of Amend.

    0 leaves a term as it is.
    """
    assert any(terms.values())
    return Amend(
        command_id,
        id_time_ms(command_id),
        symbol_id,
        order_id,
        keep_priority=keep_priority,
        **terms,
    )


def cancel_all_command(
    *,
    command_id: int,
    symbol_id: int,
    account_id: int,
    side: int = BOTH_SIDES,
    owner_tag: int = 0,
) -> CancelAll:
    """Build the command that cancels an account's open orders on one symbol, or one side of it.

    `owner_tag` limits it to orders placed with that tag; `account_id` may be ALL_ACCOUNTS.
    """
    assert side in (BOTH_SIDES, BUY, SELL)
    time_ms = id_time_ms(command_id)
    return CancelAll(command_id, time_ms, symbol_id, account_id, side, owner_tag)


def cancel_after_command(
    *, command_id: int, symbol_id: int, account_id: int, due_ms: int, owner_tag: int = 0
) -> CancelAfter:
    """Build the command that sets a cancel-after to a Unix time; `due_ms` 0 clears it."""
    assert due_ms >= 0
    time_ms = id_time_ms(command_id)
    return CancelAfter(command_id, time_ms, symbol_id, account_id, due_ms, owner_tag)


def set_state_command(*, command_id: int, symbol_id: int, state: int) -> SetState:
    """Build the command that moves a symbol to another market state."""
    return SetState(command_id, id_time_ms(command_id), symbol_id, state)


def set_feature_command(
    *, command_id: int, symbol_id: int, feature: int, is_on: bool
) -> SetFeature:
    """Build the command that switches one feature of a symbol on or off."""
    return SetFeature(command_id, id_time_ms(command_id), symbol_id, feature, is_on)


def set_band_command(
    *,
    command_id: int,
    symbol_id: int,
    band_ppm: int,
    move_ppm: int,
    move_after_ms: int,
    reference_ticks: int = 0,
    limit_ms: int = 0,
    pause_ms: int = 0,
    call_ms: int = 0,
    both_sides: bool = False,
) -> SetBand:
    """Build the command that sets a symbol's price band, or removes it (`band_ppm` 0).

    `reference_ticks` 0 keeps the current reference; `limit_ms` 0 means no interruptions.
    """
    return SetBand(
        command_id,
        id_time_ms(command_id),
        symbol_id,
        band_ppm,
        reference_ticks,
        move_ppm,
        move_after_ms,
        limit_ms,
        pause_ms,
        call_ms,
        both_sides,
    )


def set_limits_command(
    *,
    command_id: int,
    symbol_id: int,
    account_id: int,
    open_orders_max: int,
    stop_orders_max: int,
) -> SetLimits:
    """Build the command that limits an account's open and waiting orders; 0 is no limit.

    With ALL_ACCOUNTS the limits hold for every account.
    """
    assert open_orders_max >= 0
    assert stop_orders_max >= 0
    time_ms = id_time_ms(command_id)
    return SetLimits(command_id, time_ms, symbol_id, account_id, open_orders_max, stop_orders_max)
