"""Rules for which requests a market state takes, checked before the engine is asked. Pure.

The state known here may be seconds old, so the engine's answer is final. The rules are those of the
engine (matching/engine/states.py, rules 10 and 20); a test compares the two tables.
"""

from typing import Final

from exchange.domain.codes import Code
from exchange.domain.enums import TRIGGER_TYPES, OrderType, SymbolState, TimeInForce
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules

CODES: Final = {
    SymbolState.HALT: Code.SYMBOL_HALTED,
    SymbolState.PRE_OPEN: Code.SYMBOL_PRE_OPEN,
    SymbolState.AUCTION: Code.SYMBOL_IN_AUCTION,
    SymbolState.AUCTION_CUTOFF: Code.SYMBOL_IN_AUCTION,
    SymbolState.POST_ONLY: Code.SYMBOL_POST_ONLY,
    SymbolState.CANCEL_ONLY: Code.SYMBOL_CANCEL_ONLY,
    SymbolState.CLOSED: Code.SYMBOL_CLOSED,
}
assert set(CODES) == set(SymbolState) - {SymbolState.OPEN}

_GATHERING: Final = frozenset(
    {SymbolState.PRE_OPEN, SymbolState.AUCTION, SymbolState.AUCTION_CUTOFF}
)
# States in which a limit order meets the book at once.
_MEETING: Final = frozenset({SymbolState.OPEN, SymbolState.POST_ONLY})
_AMENDING: Final = _MEETING | {SymbolState.PRE_OPEN, SymbolState.AUCTION}
NO_CANCELS: Final = SymbolState.AUCTION_CUTOFF  # shortly before an auction's end
_MAY_REST: Final = frozenset({TimeInForce.GTC, TimeInForce.GTD})


def entry_check(
    rules: SymbolRules,
    kind: OrderType,
    time_in_force: TimeInForce,
    *,
    post_only: bool,
    by_quote_amount: bool,
) -> None:
    """Raise the state's refusal if the symbol takes no such order now."""
    state = rules.state
    if state is SymbolState.OPEN:
        return
    waits = kind in TRIGGER_TYPES
    is_taken = False
    if state in _GATHERING:
        is_taken = waits or time_in_force in _MAY_REST
        if kind is OrderType.MARKET and state is not SymbolState.PRE_OPEN:
            is_taken = not by_quote_amount
    elif state is SymbolState.POST_ONLY:
        is_taken = post_only and not waits
    if not is_taken:
        raise refusal(rules)


def amend_state_check(rules: SymbolRules) -> None:
    """Raise the state's refusal if the symbol takes no amends now."""
    if rules.state not in _AMENDING:
        raise refusal(rules)


def cancel_state_check(rules: SymbolRules) -> None:
    """Raise symbol.in_auction shortly before an auction's end, when the symbol takes no cancels.

    A halted symbol may be set to refuse cancels too; only the engine knows that.
    """
    if rules.state is NO_CANCELS:
        raise refusal(rules)


def refusal(rules: SymbolRules) -> DomainError:
    """Return the refusal for the symbol's state, which must not be open."""
    return DomainError(CODES[rules.state], field="symbol", symbol=rules.units.code)
