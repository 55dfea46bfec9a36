"""What travels to the engine for each accepted request: built here, and only here.

Intake publishes with these builders right after its commit; the worker rebuilds the same commands
from the rows when a stream entry was lost. Both roads must give equal commands, so the builders
are pure and take what the rows hold: integers, and the id that carries the time.

Units: prices in ticks, quantities in lots, budgets in tick-lots (ticks x lots).
"""

from exchange.domain.ids import id_time_ms
from matching.messages import (
    BUY,
    GTC,
    IOC,
    SELL,
    STP_CANCEL_INCOMING,
    Amend,
    Cancel,
    CancelAll,
    Place,
    SetState,
    Terms,
)

# A command's time is the time in its id: the same on the stream and after a reload.
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
    """The command that enters an order. `price_ticks` of a market order is its bound.

    `budget_ticklots` > 0 is a market order by quote amount; `quantity_lots` is then 0. `terms` is
    None for a plain order: equal orders must give equal commands, on the stream and from the row.
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


def cancel_command(*, command_id: int, symbol_id: int, order_id: int) -> Cancel:
    """The command that takes one order out of the book."""
    return Cancel(command_id, id_time_ms(command_id), symbol_id, order_id)


def amend_command(
    *,
    command_id: int,
    symbol_id: int,
    order_id: int,
    price_ticks: int = 0,
    quantity_lots: int = 0,
    keep_priority: bool = False,
) -> Amend:
    """The command that gives an order new terms; 0 leaves the price or the quantity as it is."""
    assert price_ticks or quantity_lots
    return Amend(
        command_id,
        id_time_ms(command_id),
        symbol_id,
        order_id,
        price_ticks,
        quantity_lots,
        keep_priority,
    )


def cancel_all_command(
    *, command_id: int, symbol_id: int, account_id: int, side: int = BOTH_SIDES
) -> CancelAll:
    """The command that cancels an account's resting orders on one symbol, or one side of it."""
    assert side in (BOTH_SIDES, BUY, SELL)
    return CancelAll(command_id, id_time_ms(command_id), symbol_id, account_id, side)


def set_state_command(*, command_id: int, symbol_id: int, state: int) -> SetState:
    """The command that halts or resumes a symbol."""
    return SetState(command_id, id_time_ms(command_id), symbol_id, state)
