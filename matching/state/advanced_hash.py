"""The part of the state hash that is not about single orders: what the symbols' desks hold.

Timers, limits, linked orders and the market orders of an auction are a sum that the desk keeps up
to date (matching/engine/set_hash.py). Of long queues the length and the next orders are hashed:
whatever is in a queue comes to its front before it has any effect. What is not about a symbol whose
commands changed nothing is not computed again.
"""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from typing import Final

import msgspec

from matching.engine.advanced import Desk
from matching.engine.components import ELECTED, OrderList, Waiting
from matching.engine.core import Engine
from matching.engine.set_hash import DIGEST_BYTES, Tally

# A change of what is hashed, or how, takes a new version: old checkpoints then differ visibly.
_VERSION: Final = "desks-2"
QUEUE_HASHED_MAX: Final = 100


def desks_digest(engine: Engine) -> str:
    """Return the hash of all desks but the waiting orders' own terms; nothing: no desk.

    Costs little for what changed since it was last asked for, nothing for other symbols.
    """
    parts = []
    for symbol_id, book in engine.books.items():
        desk = book.desk
        if desk is None:
            continue
        if desk.digest is None:
            if desk.tally is None:
                desk.tally = _tally_of(desk)
            desk.digest = _desk_digest(desk, desk.tally.total)
        parts.append((symbol_id, desk.digest))
    return _joined(parts)


def desks_digest_afresh(engine: Engine) -> str:
    """Return the same from what the desks hold, trusting nothing that was kept. O(all of it)."""
    return _joined(
        [
            (symbol_id, _desk_digest(book.desk, _tally_of(book.desk).total))
            for symbol_id, book in engine.books.items()
            if book.desk is not None
        ]
    )


def _joined(parts: list[tuple[int, str]]) -> str:
    if not parts:
        return ""
    text = f"{_VERSION}{sorted(parts)}"
    return "|" + blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def _desk_digest(desk: Desk, total: int) -> str:
    parts = (
        desk.sequence if desk.has_work() else 0,
        desk.now_ms,
        desk.last_ticks,
        desk.is_last_fresh,
        [_trailing_text(trailing) for trailing in desk.trailing.values()],
        (desk.elected_live, _elected_next(desk)),
        (len(desk.cancels), list(islice(desk.cancels, QUEUE_HASHED_MAX))),
        total,
        sorted(desk.features),
        desk.band.parts() if desk.band is not None else None,
        list(desk.samples),
        msgspec.structs.astuple(desk.uncross) if desk.uncross is not None else None,
    )
    return blake2b(repr(parts).encode(), digest_size=DIGEST_BYTES).hexdigest()


def _trailing_text(trailing: dict[int, Waiting]) -> str:
    """Where the trailing stops of a source stand, by id. Up to 2,000: so no tuple for each."""
    ids = sorted(trailing)
    return f"{ids}{[trailing[order_id].mark_ticks for order_id in ids]}" if ids else ""


def _elected_next(desk: Desk) -> list[tuple[int, int]]:
    following = islice(_live(desk), QUEUE_HASHED_MAX)
    return [(one.command.order_id, one.at_ticks) for one in following]


def _live(desk: Desk) -> Iterator[Waiting]:
    waiting = desk.waiting
    for one in desk.elected:
        if waiting.get(one.command.order_id) is one and one.stage == ELECTED:
            yield one


def _tally_of(desk: Desk) -> Tally:
    """Return the sum that the desk keeps, computed in full."""
    tally = Tally()
    for (account_id, owner_tag), due_ms in desk.timers.items():
        tally.put("timer", (account_id, owner_tag), (account_id, owner_tag, due_ms))
    for account_id, limits in desk.limits.items():
        tally.put("limits", account_id, (account_id, limits))
    for order_id in desk.at_open:
        tally.put("at_open", order_id, order_id)
    for order_list in order_lists(desk):
        tally.put("list", order_list, order_list.parts())
    return tally


def order_lists(desk: Desk) -> list[OrderList]:
    """Return each list of linked orders once, in the order of their first orders."""
    by_first = {one.order_ids[0]: one for one in desk.list_of.values()}
    return [order_list for _, order_list in sorted(by_first.items())]


def elected(desk: Desk) -> list[Waiting]:
    """Return the elected orders that have not ended meanwhile, in their order."""
    return list(_live(desk))
