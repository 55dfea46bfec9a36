"""The stable code of every refusal, with its HTTP status and text. No code is renamed or reused."""

from enum import StrEnum


class Code(StrEnum):
    # request
    REQUEST_MALFORMED = "request.malformed"
    REQUEST_FIELD_MISSING = "request.field_missing"
    REQUEST_FIELD_UNKNOWN = "request.field_unknown"
    REQUEST_FIELD_INVALID = "request.field_invalid"
    REQUEST_DUPLICATE_FIELD = "request.duplicate_field"
    REQUEST_BODY_UNEXPECTED = "request.body_unexpected"
    REQUEST_NUMBER_NOT_STRING = "request.number_not_string"
    REQUEST_TOO_LARGE = "request.too_large"
    REQUEST_UNSUPPORTED_MEDIA = "request.unsupported_media"
    REQUEST_NOT_FOUND = "request.not_found"
    REQUEST_METHOD_NOT_ALLOWED = "request.method_not_allowed"
    REQUEST_RATE_LIMITED = "request.rate_limited"
    REQUEST_HEAD_MALFORMED = "request.head_malformed"
    REQUEST_HEAD_TOO_LARGE = "request.head_too_large"
    REQUEST_LENGTH_REQUIRED = "request.length_required"
    REQUEST_TOO_SLOW = "request.too_slow"
    REQUEST_HOST_UNKNOWN = "request.host_unknown"
    REQUEST_MISDIRECTED = "request.misdirected"
    SERVER_BUSY = "server.busy"
    # authentication
    AUTH_REQUIRED = "auth.required"
    AUTH_KEY_UNKNOWN = "auth.key_unknown"
    AUTH_SIGNATURE_INVALID = "auth.signature_invalid"
    AUTH_TIMESTAMP_OUTSIDE_WINDOW = "auth.timestamp_outside_window"
    AUTH_REPLAYED = "auth.replayed"
    AUTH_SCOPE_MISSING = "auth.scope_missing"
    AUTH_CSRF = "auth.csrf_failed"
    AUTH_TOO_MANY_ATTEMPTS = "auth.too_many_attempts"
    AUTH_KEYS_MAX = "auth.keys_max"
    ACCOUNT_SUSPENDED = "account.suspended"
    ACCOUNT_MISSING = "account.missing"
    # symbol
    SYMBOL_UNKNOWN = "symbol.unknown"
    SYMBOL_NOT_LISTED = "symbol.not_listed"
    SYMBOL_HALTED = "symbol.halted"
    SYMBOL_PRE_OPEN = "symbol.pre_open"
    SYMBOL_IN_AUCTION = "symbol.in_auction"
    SYMBOL_POST_ONLY = "symbol.post_only"
    SYMBOL_CANCEL_ONLY = "symbol.cancel_only"
    SYMBOL_CLOSED = "symbol.closed"
    # order
    ORDER_PRICE_REQUIRED = "order.price_required"
    ORDER_PRICE_FORBIDDEN = "order.price_forbidden"
    ORDER_PRICE_OFF_TICK = "order.price_off_tick"
    ORDER_PRICE_BELOW_MIN = "order.price_below_min"
    ORDER_PRICE_ABOVE_MAX = "order.price_above_max"
    ORDER_PRICE_OUTSIDE_BAND = "order.price_outside_band"
    ORDER_QUANTITY_REQUIRED = "order.quantity_required"
    ORDER_QUANTITY_OFF_LOT = "order.quantity_off_lot"
    ORDER_QUANTITY_BELOW_MIN = "order.quantity_below_min"
    ORDER_QUANTITY_ABOVE_MAX = "order.quantity_above_max"
    ORDER_NOTIONAL_BELOW_MIN = "order.notional_below_min"
    ORDER_QUOTE_AMOUNT_BUY_ONLY = "order.quote_amount_buy_only"
    ORDER_QUOTE_AMOUNT_INVALID = "order.quote_amount_invalid"
    ORDER_QUANTITY_OR_QUOTE_AMOUNT = "order.quantity_or_quote_amount"
    ORDER_TIME_IN_FORCE_INVALID = "order.time_in_force_invalid"
    ORDER_POST_ONLY_INVALID = "order.post_only_invalid"
    ORDER_STOP_PRICE_REQUIRED = "order.stop_price_required"
    ORDER_STOP_PRICE_FORBIDDEN = "order.stop_price_forbidden"
    ORDER_TRIGGER_SOURCE_FORBIDDEN = "order.trigger_source_forbidden"
    ORDER_TRAIL_REQUIRED = "order.trail_required"
    ORDER_TRAIL_FORBIDDEN = "order.trail_forbidden"
    ORDER_TRAIL_INVALID = "order.trail_invalid"
    ORDER_DISPLAY_INVALID = "order.display_quantity_invalid"
    ORDER_EXPIRY_REQUIRED = "order.expires_at_required"
    ORDER_EXPIRY_INVALID = "order.expires_at_invalid"
    ORDER_REPRICE_INVALID = "order.reprice_invalid"
    ORDER_BOUND_FORBIDDEN = "order.bound_price_forbidden"
    ORDER_BOUND_INVALID = "order.bound_price_invalid"
    ORDER_LIST_INVALID = "order.list_invalid"
    ORDER_LIST_NOT_COVERED = "order.list_not_covered"
    ORDER_LIST_NOT_FOUND = "order.list_not_found"
    ORDER_LIST_AMEND = "order.list_amend_not_allowed"
    ORDER_STP_NOT_ALLOWED = "order.self_trade_prevention_not_allowed"
    ORDER_NO_LIQUIDITY = "order.no_liquidity"
    ORDER_CLIENT_ID_INVALID = "order.client_id_invalid"
    ORDER_CLIENT_ID_CONFLICT = "order.client_id_conflict"
    ORDER_NOT_FOUND = "order.not_found"
    ORDER_NOT_OPEN = "order.not_open"
    COMMAND_NOT_FOUND = "command.not_found"
    ORDER_AMEND_EMPTY = "order.amend_empty"
    ORDER_AMEND_PENDING = "order.amend_pending"
    ORDER_AMEND_BELOW_FILLED = "order.amend_below_filled"
    ORDER_PRIORITY_NEEDS_REDUCTION = "order.priority_needs_reduction"
    # ended or refused by the engine; also an order's `reason`
    ORDER_DUPLICATE_ID = "order.duplicate_id"
    ORDER_POST_ONLY_WOULD_TAKE = "order.post_only_would_take"
    ORDER_FOK_UNFILLABLE = "order.fok_unfillable"
    ORDER_SELF_TRADE = "order.self_trade"
    ORDER_CANCELLED_BY_USER = "order.cancelled_by_user"
    ORDER_CANCELLED_BY_CANCEL_ALL = "order.cancelled_by_cancel_all"
    ORDER_IOC_REST = "order.ioc_rest"
    ORDER_INSUFFICIENT_LIQUIDITY = "order.insufficient_liquidity"
    ORDER_QUOTE_AMOUNT_SPENT = "order.quote_amount_spent"
    ORDER_OPEN_ORDERS_MAX = "order.open_orders_max"
    ORDER_STOP_ORDERS_MAX = "order.stop_orders_max"
    ORDER_TRAILING_ORDERS_MAX = "order.trailing_orders_max"
    ORDER_EXPIRED_AT_ENTRY = "order.expired_at_entry"
    ORDER_LIST_REFUSED = "order.list_refused"
    ORDER_AMEND_NO_TRIGGER = "order.amend_no_trigger"
    ORDER_AMEND_NO_DISPLAY = "order.amend_no_display"
    ORDER_NOT_DUE = "order.not_due"
    ORDER_EXPIRED = "order.expired"
    ORDER_CANCELLED_BY_TIMER = "order.cancelled_by_timer"
    ORDER_LIST_OTHER_TRADED = "order.list_other_traded"
    ORDER_LIST_OTHER_ENDED = "order.list_other_ended"
    ORDER_BAND_REST = "order.band_rest"
    ENGINE_FAULT = "engine.fault"
    ENGINE_FEATURE_UNKNOWN = "engine.feature_unknown"
    # risk
    RISK_ORDER_RATE = "risk.order_rate"
    RISK_OPEN_ORDERS_MAX = "risk.open_orders_max"
    # funds
    FUNDS_INSUFFICIENT = "funds.insufficient"
    FUNDS_AMOUNT_INVALID = "funds.amount_invalid"
    FUNDS_ASSET_UNKNOWN = "funds.asset_unknown"
    FUNDS_REASON_REQUIRED = "funds.reason_required"
    FUNDS_KEY_CONFLICT = "funds.key_conflict"
    # engine and platform
    ENGINE_BUSY = "engine.busy"
    ENGINE_SETTLING = "engine.settling"
    ENGINE_NOT_SERVING = "engine.not_serving"
    ENGINE_UNAVAILABLE = "engine.unavailable"
    ENGINE_OUTCOME_UNKNOWN = "engine.outcome_unknown"
    INTERNAL_ERROR = "internal.error"
    # feed
    FEED_MESSAGE_INVALID = "feed.message_invalid"
    FEED_UNKNOWN_CHANNEL = "feed.unknown_channel"
    FEED_TOO_MANY_SUBSCRIPTIONS = "feed.too_many_subscriptions"
    FEED_TOO_MANY_MESSAGES = "feed.too_many_messages"
    FEED_TOO_MANY_SOCKETS = "feed.too_many_sockets"
    FEED_TOO_SLOW = "feed.too_slow"
    FEED_ORIGIN_REFUSED = "feed.origin_refused"


# code -> (HTTP status, text); {names} in the text are the error's params
DESCRIPTIONS: dict[Code, tuple[int, str]] = {
    Code.REQUEST_MALFORMED: (400, "The body is not valid JSON of the documented shape."),
    Code.REQUEST_FIELD_MISSING: (400, "The field {field} is missing."),
    Code.REQUEST_FIELD_UNKNOWN: (400, "The field {field} is not known here."),
    Code.REQUEST_FIELD_INVALID: (400, "The field {field} is invalid: {rule}."),
    Code.REQUEST_DUPLICATE_FIELD: (400, "The field {field} stands more than once."),
    Code.REQUEST_BODY_UNEXPECTED: (400, "This request takes no body: nothing was read of it."),
    Code.REQUEST_NUMBER_NOT_STRING: (
        400,
        'The field {field} must be a decimal in a JSON string, such as "0.5": '
        "JSON numbers lose digits.",
    ),
    Code.REQUEST_TOO_LARGE: (413, "The body is larger than {bytes_max} bytes."),
    Code.REQUEST_UNSUPPORTED_MEDIA: (415, "Send application/json."),
    Code.REQUEST_NOT_FOUND: (404, "There is nothing at this address."),
    Code.REQUEST_METHOD_NOT_ALLOWED: (405, "This address does not take this method."),
    Code.REQUEST_RATE_LIMITED: (429, "Too many requests: wait {retry_after_s} s."),
    Code.REQUEST_HEAD_MALFORMED: (400, "The head of the request breaks a rule: {rule}."),
    Code.REQUEST_HEAD_TOO_LARGE: (431, "The head is larger than {bytes_max} bytes."),
    Code.REQUEST_LENGTH_REQUIRED: (411, "A body needs a Content-Length."),
    Code.REQUEST_TOO_SLOW: (408, "The body did not come in time: nothing was taken."),
    Code.REQUEST_HOST_UNKNOWN: (400, "This host name is not served here."),
    Code.REQUEST_MISDIRECTED: (
        421,
        "Another process serves this address; this one serves {serves}: nothing was taken.",
    ),
    Code.SERVER_BUSY: (503, "Too many requests are under way: nothing was taken, try again."),
    Code.AUTH_REQUIRED: (401, "Sign in, or sign the request with an API key."),
    Code.AUTH_KEY_UNKNOWN: (401, "This API key is unknown, revoked or expired."),
    Code.AUTH_SIGNATURE_INVALID: (401, "The signature does not match the request."),
    Code.AUTH_TIMESTAMP_OUTSIDE_WINDOW: (
        401,
        "The timestamp is outside the window of {window_ms} ms; server time is {server_ms}.",
    ),
    Code.AUTH_REPLAYED: (401, "This signed request was already used."),
    Code.AUTH_SCOPE_MISSING: (403, "This API key lacks the scope {scope}."),
    Code.AUTH_CSRF: (403, "The CSRF token is missing or wrong."),
    Code.AUTH_TOO_MANY_ATTEMPTS: (
        429,
        "Too many attempts: try again in {retry_after_s} s.",
    ),
    Code.AUTH_KEYS_MAX: (422, "There may be at most {limit} live API keys: revoke one first."),
    Code.ACCOUNT_SUSPENDED: (
        403,
        "This account is suspended: its orders can be read and cancelled, but no order is placed or"
        " amended, and no key made.",
    ),
    Code.ACCOUNT_MISSING: (
        403,
        "You have no trading account yet: support has to open one.",
    ),
    Code.SYMBOL_UNKNOWN: (404, "There is no symbol {symbol}."),
    Code.SYMBOL_NOT_LISTED: (
        409,
        "{symbol} is not listed: it takes no new orders and no new prices; cancels are taken.",
    ),
    Code.SYMBOL_HALTED: (409, "Trading in {symbol} is halted; cancels are still taken."),
    Code.SYMBOL_PRE_OPEN: (409, "{symbol} is not open yet: only orders that may rest are taken."),
    Code.SYMBOL_IN_AUCTION: (409, "{symbol} is in an auction, which does not take this now."),
    Code.SYMBOL_POST_ONLY: (409, "{symbol} takes only post-only orders and cancels now."),
    Code.SYMBOL_CANCEL_ONLY: (409, "{symbol} takes only cancels now."),
    Code.SYMBOL_CLOSED: (409, "{symbol} is closed for ever."),
    Code.ORDER_PRICE_REQUIRED: (422, "An order of this type needs a price."),
    Code.ORDER_PRICE_FORBIDDEN: (422, "An order of this type takes no price."),
    Code.ORDER_PRICE_OFF_TICK: (422, "The price must be a multiple of {tick}."),
    Code.ORDER_PRICE_BELOW_MIN: (422, "The price must be at least {minimum}."),
    Code.ORDER_PRICE_ABOVE_MAX: (422, "The price must be at most {maximum}."),
    Code.ORDER_PRICE_OUTSIDE_BAND: (
        422,
        "The price must lie between {minimum} and {maximum} at the moment.",
    ),
    Code.ORDER_QUANTITY_REQUIRED: (422, "An order of this type needs a quantity."),
    Code.ORDER_QUANTITY_OFF_LOT: (422, "The quantity must be a multiple of {lot}."),
    Code.ORDER_QUANTITY_BELOW_MIN: (422, "The quantity must be at least {minimum}."),
    Code.ORDER_QUANTITY_ABOVE_MAX: (422, "The quantity must be at most {maximum}."),
    Code.ORDER_NOTIONAL_BELOW_MIN: (422, "Price times quantity must be at least {minimum}."),
    Code.ORDER_QUOTE_AMOUNT_BUY_ONLY: (422, "Only a market buy can be given by quote amount."),
    Code.ORDER_QUOTE_AMOUNT_INVALID: (422, "The quote amount must be a multiple of {unit}."),
    Code.ORDER_QUANTITY_OR_QUOTE_AMOUNT: (
        422,
        "Give either a quantity or, for a plain market buy, a quote amount.",
    ),
    Code.ORDER_TIME_IN_FORCE_INVALID: (422, "This order cannot be {time_in_force}."),
    Code.ORDER_POST_ONLY_INVALID: (422, "Only a gtc or gtd order with a limit can be post-only."),
    Code.ORDER_STOP_PRICE_REQUIRED: (422, "An order of this type needs a stop price."),
    Code.ORDER_STOP_PRICE_FORBIDDEN: (422, "An order of this type takes no stop price."),
    Code.ORDER_TRIGGER_SOURCE_FORBIDDEN: (422, "Only an order with a trigger has a source."),
    Code.ORDER_TRAIL_REQUIRED: (
        422,
        "A trailing stop needs either trail_amount or trail_bps.",
    ),
    Code.ORDER_TRAIL_FORBIDDEN: (422, "Only a trailing stop takes {field}."),
    Code.ORDER_TRAIL_INVALID: (422, "The distance must be {rule}."),
    Code.ORDER_DISPLAY_INVALID: (422, "The displayed quantity is invalid: {rule}."),
    Code.ORDER_EXPIRY_REQUIRED: (422, "A gtd order needs expires_at."),
    Code.ORDER_EXPIRY_INVALID: (422, "The expiry is invalid: {rule}."),
    Code.ORDER_REPRICE_INVALID: (422, "Only a post-only order can be repriced."),
    Code.ORDER_BOUND_FORBIDDEN: (422, "Only what trades as a market order takes a bound price."),
    Code.ORDER_BOUND_INVALID: (422, "The bound price is invalid: {rule}."),
    Code.ORDER_LIST_INVALID: (422, "The list is invalid: {rule}."),
    Code.ORDER_LIST_NOT_COVERED: (
        422,
        "The first order does not bring in what the others need: {needed} {asset}, "
        "it brings at least {brings}.",
    ),
    Code.ORDER_LIST_NOT_FOUND: (404, "There is no such order list."),
    Code.ORDER_LIST_AMEND: (
        409,
        "An order whose fills pay for others, or one that waits to be paid, cannot be amended.",
    ),
    Code.ORDER_STP_NOT_ALLOWED: (422, "This account must keep self-trade prevention."),
    Code.ORDER_NO_LIQUIDITY: (
        422,
        "There is no price to go by: no order on the other side, or no trade yet.",
    ),
    Code.ORDER_CLIENT_ID_INVALID: (
        422,
        "The client order id has 1 to 64 characters of A-Z a-z 0-9 . _ : -",
    ),
    Code.ORDER_CLIENT_ID_CONFLICT: (
        409,
        "This client order id belongs to an order with other parameters.",
    ),
    Code.ORDER_NOT_FOUND: (404, "There is no such order."),
    Code.COMMAND_NOT_FOUND: (404, "There is no such command."),
    Code.ORDER_NOT_OPEN: (409, "The order is no longer open: it is {order_status}."),
    Code.ORDER_AMEND_EMPTY: (422, "Give a new price, quantity, stop price or displayed quantity."),
    Code.ORDER_AMEND_PENDING: (409, "An amend of this order is still under way."),
    Code.ORDER_AMEND_BELOW_FILLED: (422, "The new quantity must be above what is filled."),
    Code.ORDER_PRIORITY_NEEDS_REDUCTION: (
        422,
        "Only a smaller quantity at the same price keeps its place in the queue.",
    ),
    Code.ORDER_OPEN_ORDERS_MAX: (422, "The account has as many open orders here as it may have."),
    Code.ORDER_STOP_ORDERS_MAX: (422, "The account has as many waiting orders here as it may."),
    Code.ORDER_TRAILING_ORDERS_MAX: (422, "The symbol has as many trailing stops as it may have."),
    Code.ORDER_EXPIRED_AT_ENTRY: (422, "The order's time was over when it reached the engine."),
    Code.ORDER_LIST_REFUSED: (409, "Another order of the same list was refused."),
    Code.ORDER_AMEND_NO_TRIGGER: (422, "The order waits for no stop price."),
    Code.ORDER_AMEND_NO_DISPLAY: (422, "Only an iceberg has a displayed quantity."),
    Code.ORDER_NOT_DUE: (409, "The order's time has not come."),
    Code.ORDER_EXPIRED: (409, "The order's time was over."),
    Code.ORDER_CANCELLED_BY_TIMER: (409, "Cancelled by the account's dead man's switch."),
    Code.ORDER_LIST_OTHER_TRADED: (409, "The other order of the list traded."),
    Code.ORDER_LIST_OTHER_ENDED: (409, "The other order of the list ended."),
    Code.ORDER_BAND_REST: (409, "What would have traded outside the price band was cancelled."),
    Code.ORDER_DUPLICATE_ID: (409, "An order with this id is already in the book."),
    Code.ORDER_POST_ONLY_WOULD_TAKE: (409, "The post-only order would have traded at once."),
    Code.ORDER_FOK_UNFILLABLE: (409, "The book could not fill the whole order at once."),
    Code.ORDER_SELF_TRADE: (409, "The order met another order of the same account."),
    Code.ORDER_CANCELLED_BY_USER: (409, "Cancelled on request."),
    Code.ORDER_CANCELLED_BY_CANCEL_ALL: (409, "Cancelled by a cancel-all request."),
    Code.ORDER_IOC_REST: (409, "What did not fill at once was cancelled."),
    Code.ORDER_INSUFFICIENT_LIQUIDITY: (
        409,
        "The book, up to the slippage bound, did not hold enough.",
    ),
    Code.ORDER_QUOTE_AMOUNT_SPENT: (409, "The quote amount does not buy another lot."),
    Code.ENGINE_FEATURE_UNKNOWN: (422, "The engine knows no such behaviour."),
    Code.ENGINE_FAULT: (500, "The engine could not process this and left everything as it was."),
    Code.RISK_ORDER_RATE: (429, "More than {limit} orders a second: wait {retry_after_s} s."),
    Code.RISK_OPEN_ORDERS_MAX: (422, "There may be at most {limit} open orders in {symbol}."),
    Code.FUNDS_INSUFFICIENT: (
        422,
        "This needs {needed} {asset}; {available} is available.",
    ),
    Code.FUNDS_AMOUNT_INVALID: (422, "The amount must be {rule}."),
    Code.FUNDS_ASSET_UNKNOWN: (404, "There is no asset {asset}."),
    Code.FUNDS_REASON_REQUIRED: (422, "Give a reason of at most {limit} characters."),
    Code.FUNDS_KEY_CONFLICT: (409, "This key stands for another movement of funds."),
    Code.ENGINE_BUSY: (503, "Too many orders are waiting: nothing was taken, try again."),
    Code.ENGINE_SETTLING: (
        503,
        "What was traded or freed is still being booked: nothing was taken, try again.",
    ),
    Code.ENGINE_NOT_SERVING: (
        503,
        "No engine is at work for {symbol} now: nothing was taken, cancels are.",
    ),
    Code.ENGINE_UNAVAILABLE: (503, "Orders cannot be taken right now: nothing was taken."),
    Code.ENGINE_OUTCOME_UNKNOWN: (
        503,
        "The answer did not come in time: ask for the order by its client order id.",
    ),
    Code.INTERNAL_ERROR: (500, "Something went wrong on our side; it is on record."),
    Code.FEED_MESSAGE_INVALID: (400, "The message is not valid."),
    Code.FEED_UNKNOWN_CHANNEL: (404, "There is no channel {channel}."),
    Code.FEED_TOO_MANY_SUBSCRIPTIONS: (429, "At most {limit} channels a connection."),
    Code.FEED_TOO_MANY_MESSAGES: (429, "At most {limit} messages a second."),
    Code.FEED_TOO_MANY_SOCKETS: (429, "A user may have at most {limit} connections here."),
    Code.FEED_TOO_SLOW: (429, "This connection did not keep up and was closed."),
    Code.FEED_ORIGIN_REFUSED: (403, "This origin may not connect."),
}
assert set(DESCRIPTIONS) == set(Code)  # a code without a description fails at import
