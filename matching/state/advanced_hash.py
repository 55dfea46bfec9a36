"""The part of the state hash that is not about single orders: the advanced state.

Cancel-afters, limits, linked orders and the market orders of an auction are a sum that the advanced
state keeps up to date (matching/engine/set_hash.py). Of long queues the length and the next orders
are hashed: whatever is in a queue comes to its front before it has any effect. What is not about a
symbol whose commands changed nothing is not computed again.
"""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from typing import Final

import msgspec

from matching.engine.advanced import AdvancedState
from matching.engine.components import TRIGGERED, OrderList, Waiting
from matching.engine.core import Engine
from matching.engine.set_hash import HASH_BYTES, SetHash

# A change of what is hashed, or how, takes a new version: old checkpoints then differ visibly.
_VERSION: Final = "desks-2"
QUEUE_HASHED_MAX: Final = 100


def advanced_hash(engine: Engine) -> str:
    """Return the hash of advanced state but the waiting orders' own terms; nothing without it.

    Costs little for what changed since it was last asked for, nothing for other symbols.
    """
    values = []
    for symbol_id, book in engine.books.items():
        advanced = book.advanced
        if advanced is None:
            continue
        if advanced.kept_hash is None:
            if advanced.set_hash is None:
                advanced.set_hash = _set_hash_of(advanced)
            advanced.kept_hash = _advanced_hash(advanced, advanced.set_hash.total)
        values.append((symbol_id, advanced.kept_hash))
    return _joined(values)


def advanced_hash_afresh(engine: Engine) -> str:
    """Return the same from scratch, trusting nothing that was kept. O(all of it)."""
    return _joined(
        [
            (symbol_id, _advanced_hash(book.advanced, _set_hash_of(book.advanced).total))
            for symbol_id, book in engine.books.items()
            if book.advanced is not None
        ]
    )


def _joined(values: list[tuple[int, str]]) -> str:
    if not values:
        return ""
    text = f"{_VERSION}{sorted(values)}"
    return "|" + blake2b(text.encode(), digest_size=HASH_BYTES).hexdigest()


def _advanced_hash(advanced: AdvancedState, total: int) -> str:
    values = (
        advanced.sequence if advanced.has_work() else 0,
        advanced.now_ms,
        advanced.last_ticks,
        advanced.is_last_fresh,
        [_trailing_text(trailing) for trailing in advanced.trailing.values()],
        (advanced.triggered_live, _triggered_next(advanced)),
        (len(advanced.cancels), list(islice(advanced.cancels, QUEUE_HASHED_MAX))),
        total,
        sorted(advanced.features),
        advanced.band.as_tuple() if advanced.band is not None else None,
        list(advanced.samples),
        msgspec.structs.astuple(advanced.uncross) if advanced.uncross is not None else None,
    )
    return blake2b(repr(values).encode(), digest_size=HASH_BYTES).hexdigest()


def _trailing_text(trailing: dict[int, Waiting]) -> str:
    """Where the trailing stops of a source stand, by id. Up to 2,000: so no tuple for each."""
    ids = sorted(trailing)
    return f"{ids}{[trailing[order_id].mark_ticks for order_id in ids]}" if ids else ""


def _triggered_next(advanced: AdvancedState) -> list[tuple[int, int]]:
    following = islice(_live(advanced), QUEUE_HASHED_MAX)
    return [(one.command.order_id, one.at_ticks) for one in following]


def _live(advanced: AdvancedState) -> Iterator[Waiting]:
    waiting = advanced.waiting
    for one in advanced.triggered:
        if waiting.get(one.command.order_id) is one and one.stage == TRIGGERED:
            yield one


def _set_hash_of(advanced: AdvancedState) -> SetHash:
    """Return the sum that the advanced state keeps, computed in full."""
    set_hash = SetHash()
    for (account_id, owner_tag), due_ms in advanced.cancel_after.items():
        set_hash.put("timer", (account_id, owner_tag), (account_id, owner_tag, due_ms))
    for account_id, limits in advanced.limits.items():
        set_hash.put("limits", account_id, (account_id, limits))
    for order_id in advanced.at_open:
        set_hash.put("at_open", order_id, order_id)
    for order_list in order_lists(advanced):
        set_hash.put("list", order_list, order_list.as_tuple())
    return set_hash


def order_lists(advanced: AdvancedState) -> list[OrderList]:
    """Return each list of linked orders once, in the order of their first orders."""
    by_first = {one.order_ids[0]: one for one in advanced.list_of.values()}
    return [order_list for _, order_list in sorted(by_first.items())]


def triggered_orders(advanced: AdvancedState) -> list[Waiting]:
    """Return the triggered orders that have not ended meanwhile, in their order."""
    return list(_live(advanced))
