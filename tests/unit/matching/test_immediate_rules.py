"""Rules 4 to 6: IOC, FOK, post-only, market orders (matching/README.md)."""

from matching.engine import messages as m
from tests.scenario import SYMBOL, run


def test_4_1_ioc_rest_is_cancelled() -> None:
    run("""
        sell #1 2@101         -> rest #1 2@101
        buy #2 5@101 ioc      -> #1x#2 2@101, gone #2 3 ioc_rest
        book                  -> empty | empty
    """)


def test_4_1_ioc_that_meets_nothing() -> None:
    run("""
        buy #1 5@101 ioc      -> gone #1 5 ioc_rest
        sell #2 5@102         -> rest #2 5@102
        buy #3 5@101 ioc      -> gone #3 5 ioc_rest
    """)


def test_4_1_ioc_that_fills_has_no_rest() -> None:
    run("""
        buy #1 5@101          -> rest #1 5@101
        sell #2 5@100 ioc     -> #1x#2 5@101
    """)


def test_4_2_fok_fills_over_several_prices() -> None:
    run("""
        sell #1 2@101         -> rest #1 2@101
        sell #2 2@102         -> rest #2 2@102
        sell #3 2@103         -> rest #3 2@103
        buy #4 5@103 fok      -> #1x#4 2@101, #2x#4 2@102, #3x#4 1@103
    """)


def test_4_2_fok_fills_exactly_what_is_there() -> None:
    run("""
        buy #1 2@101          -> rest #1 2@101
        buy #2 2@100          -> rest #2 2@100
        sell #3 4@100 fok     -> #1x#3 2@101, #2x#3 2@100
        book                  -> empty | empty
    """)


def test_4_3_fok_counts_only_prices_within_its_limit() -> None:
    run("""
        sell #1 2@101         -> rest #1 2@101
        sell #2 9@102         -> rest #2 9@102
        buy #3 3@101 fok      -> no #3 fok_unfillable
        buy #4 1@100 fok      -> no #4 fok_unfillable
        book                  -> empty | 2@101 9@102
    """)


def test_4_4_fok_does_not_count_own_orders_nor_what_is_behind_them() -> None:
    run("""
        sell #1 2@101 by=8    -> rest #1 2@101
        sell #2 2@101 by=7    -> rest #2 2@101
        sell #3 9@101 by=8    -> rest #3 9@101
        buy #4 3@101 fok by=7 -> no #4 fok_unfillable
        buy #5 2@101 fok by=7 -> #1x#5 2@101
    """)


def test_4_4_exempt_fok_counts_own_orders() -> None:
    run("""
        sell #1 2@101 by=7              -> rest #1 2@101
        buy #2 2@101 fok exempt by=7    -> #1x#2 2@101
    """)


def test_5_1_post_only_at_the_opposite_best_is_refused() -> None:
    run("""
        sell #1 5@101         -> rest #1 5@101
        buy #2 1@101 post     -> no #2 post_only_would_take
        buy #3 1@102 post     -> no #3 post_only_would_take
        buy #4 1@100 post     -> rest #4 1@100
        sell #5 1@100 post    -> no #5 post_only_would_take
        book                  -> 1@100 | 5@101
    """)


def test_5_2_post_only_rests_and_trades_as_maker() -> None:
    run("""
        buy #1 5@100 post     -> rest #1 5@100
        sell #2 2@100         -> #1x#2 2@100
        book                  -> 3@100 | empty
    """)


def test_5_3_amend_that_would_take_is_refused() -> None:
    run("""
        sell #1 5@101         -> rest #1 5@101
        buy #2 5@99 post      -> rest #2 5@99
        buy #3 5@99           -> rest #3 5@99
        amend #2 @101         -> no #2 post_only_would_take
        sell #4 1@99          -> #2x#4 1@99
        amend #2 @100         -> now #2 4/5@100, rest #2 4@100
    """)


def test_5_4_post_only_does_not_meet_an_own_order_either() -> None:
    run("""
        sell #1 5@101 by=7        -> rest #1 5@101
        buy #2 1@101 post by=7    -> no #2 post_only_would_take
    """)


def test_6_1_market_order_stops_at_its_bound() -> None:
    run("""
        sell #1 2@101             -> rest #1 2@101
        sell #2 2@105             -> rest #2 2@105
        buy #3 4@104 market       -> #1x#3 2@101, gone #3 2 insufficient_liquidity
        book                      -> empty | 2@105
    """)


def test_6_1_market_sell_stops_at_its_bound() -> None:
    run("""
        buy #1 2@100              -> rest #1 2@100
        buy #2 2@95               -> rest #2 2@95
        sell #3 4@96 market       -> #1x#3 2@100, gone #3 2 insufficient_liquidity
    """)


def test_6_2_market_order_in_an_empty_book() -> None:
    run("""
        buy #1 4@104 market       -> gone #1 4 insufficient_liquidity
    """)


def test_6_3_quote_amount_is_never_exceeded() -> None:
    run("""
        sell #1 2@100             -> rest #1 2@100
        sell #2 9@110             -> rest #2 9@110
        buy #3 quote 529@120      -> #1x#3 2@100, #2x#3 2@110, gone #3 0 quote_amount_spent
        book                      -> empty | 7@110
    """)


def test_6_4_amount_spent_to_the_last_ticklot() -> None:
    run("""
        sell #1 9@100             -> rest #1 9@100
        buy #2 quote 300@120      -> #1x#2 3@100, gone #2 0 quote_amount_spent
        buy #3 quote 600@120      -> #1x#3 6@100, gone #3 0 quote_amount_spent
    """)


def test_6_4_amount_too_small_for_one_lot() -> None:
    run("""
        sell #1 9@100             -> rest #1 9@100
        buy #2 quote 99@120       -> gone #2 0 quote_amount_spent
        book                      -> empty | 9@100
    """)


def test_6_5_liquidity_ends_before_the_amount() -> None:
    run("""
        sell #1 2@100             -> rest #1 2@100
        buy #2 quote 999@120      -> #1x#2 2@100, gone #2 0 insufficient_liquidity
    """)


def test_6_5_bound_ends_before_the_amount() -> None:
    run("""
        sell #1 2@100             -> rest #1 2@100
        sell #2 2@121             -> rest #2 2@121
        buy #3 quote 999@120      -> #1x#3 2@100, gone #3 0 insufficient_liquidity
        buy #4 quote 5@120        -> gone #4 0 insufficient_liquidity
    """)


def test_6_3_sell_by_quote_amount_never_earns_more() -> None:
    run("""
        buy #1 2@100              -> rest #1 2@100
        buy #2 9@90               -> rest #2 9@90
        sell #3 quote 300@50      -> #1x#3 2@100, #2x#3 1@90, gone #3 0 quote_amount_spent
    """)


def test_6_6_quote_amount_stops_at_an_own_order_once() -> None:
    run("""
        sell #1 2@100 by=8            -> rest #1 2@100
        sell #2 2@100 by=7            -> rest #2 2@100
        buy #3 quote 900@120 by=7     -> #1x#3 2@100, gone #3 0 self_trade
        buy #4 quote 99@120 by=7      -> gone #4 0 quote_amount_spent
        buy #5 quote 200@120 exempt by=7  -> #2x#5 2@100, gone #5 0 quote_amount_spent
    """)


def test_6_6_taker_by_quote_amount_reports_nothing_left() -> None:
    engine = run("sell #1 5@100 -> rest #1 5@100")
    events = engine.apply(
        m.Place(2, 0, SYMBOL, 2, 12, m.BUY, 110, 0, m.IOC, market=True, budget_ticklots=250)
    )
    assert events == [
        m.OrderAccepted(2, 12, m.BUY, 110, 0),
        m.Trade(1, 2, 1_001, 12, m.BUY, 100, 2, 3, 0),
        m.OrderCancelled(2, 12, m.BUY, 110, 0, m.BUDGET_SPENT),
    ]
