"""Codes of refusals and ends by the engine; the first codes are in matching/engine/messages.py.

The strings are stable: they reach the API unchanged, and are never renamed or reused.
"""

from typing import Final

# The market state does not take this command.
SYMBOL_PRE_OPEN: Final = "symbol.pre_open"
SYMBOL_IN_AUCTION: Final = "symbol.in_auction"
SYMBOL_POST_ONLY: Final = "symbol.post_only"
SYMBOL_CANCEL_ONLY: Final = "symbol.cancel_only"
SYMBOL_CLOSED: Final = "symbol.closed"  # also why an order of a closed symbol ended

# Orders refused at entry.
PRICE_OUTSIDE_BAND: Final = "order.price_outside_band"
OPEN_ORDERS_MAX: Final = "order.open_orders_max"
STOP_ORDERS_MAX: Final = "order.stop_orders_max"
TRAILING_ORDERS_MAX: Final = "order.trailing_orders_max"
EXPIRED_AT_ENTRY: Final = "order.expired_at_entry"
LIST_REFUSED: Final = "order.list_refused"  # another order of the list was refused

# Commands refused.
AMEND_NO_TRIGGER: Final = "order.amend_no_trigger"
AMEND_NO_DISPLAY: Final = "order.amend_no_display"
NOT_DUE: Final = "order.not_due"
FEATURE_UNKNOWN: Final = "engine.feature_unknown"

# Why an order ended without being filled.
EXPIRED: Final = "order.expired"
BY_CANCEL_AFTER: Final = "order.cancelled_by_timer"
LIST_OTHER_TRADED: Final = "order.list_other_traded"
LIST_OTHER_ENDED: Final = "order.list_other_ended"
BAND_REST: Final = "order.band_rest"
