"""Due times: expiry of orders, cancel-afters, interruptions (15, 18.4, 22.7)."""

from matching.engine import codes
from matching.engine import messages as m
from tests.oracles.rules import bands, states
from tests.oracles.rules.ending import end_all
from tests.oracles.rules.following import follow_up
from tests.oracles.rules.market import Market


def cancel_after(market: Market, command: m.CancelAfter) -> None:
    """Set a cancel-after, one for each account and owner tag, or clear it (18.4-18.6)."""
    key = (command.account_id, command.owner_tag)
    market.cancel_after.pop(key, None)
    if command.due_ms:
        market.cancel_after[key] = command.due_ms
    market.tell(m.CommandDone(command.command_id, market.symbol))


def expire(market: Market, command: m.Expire) -> None:
    """Expire one order, or everything that is due (15.1)."""
    if command.order_id:
        expire_one(market, command)
        return
    market.tell(m.CommandDone(command.command_id, market.symbol))
    opens = next_phase(market)
    follow_up(market)
    due = [o for o in market.orders if 0 < o.terms.expire_ms <= market.now_ms]
    cancel_after = sorted(key for key, ms in market.cancel_after.items() if ms <= market.now_ms)
    for order in sorted(due, key=lambda order: (order.terms.expire_ms, order.id)):  # 15.2
        if order.is_open:
            market.cancel(order, codes.EXPIRED)
            follow_up(market)
    for account, tag in cancel_after:  # 18.4, 18.6
        del market.cancel_after[account, tag]
        end_all(
            market,
            lambda order, account=account, tag=tag: (  # type: ignore[misc]
                order.account == account and tag in (0, order.tag)
            ),
            codes.BY_CANCEL_AFTER,
            by_price=False,
        )
    if opens:
        states.enter(market, m.OPEN)  # after the orders that have just ended


def expire_one(market: Market, command: m.Expire) -> None:
    """Expire one order, or refuse if it is not due (15.1)."""
    order = market.find(command.order_id)
    code = m.NOT_OPEN
    if order is not None:
        is_due = 0 < order.terms.expire_ms <= market.now_ms
        code = "" if is_due else codes.NOT_DUE
    if code or order is None:
        market.tell(m.CommandRefused(command.command_id, command.order_id, code))
        return
    market.cancel(order, codes.EXPIRED)


def next_phase(market: Market) -> bool:
    """Go on from limit state to pause, auction and open trading; return whether it opens (22.7)."""
    band = market.band
    if market.phase == m.PHASE_NONE or market.phase_due_ms > market.now_ms:
        return False
    if market.phase == m.PHASE_LIMIT:
        bands.set_phase(market, m.PHASE_PAUSE, market.now_ms + band.pause_ms)
        states.enter(market, m.HALT)
        return False
    if market.phase == m.PHASE_PAUSE:
        bands.set_phase(market, m.PHASE_CALL, market.now_ms + band.call_ms)
        states.enter(market, m.AUCTION)
        return False
    bands.set_phase(market, m.PHASE_NONE, 0)
    return True
