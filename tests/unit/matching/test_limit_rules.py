"""Rules 1 to 3: order of things, priority, limit orders (matching/README.md)."""

from matching.engine import messages as m
from matching.engine.core import Engine
from tests.scenario import run


def test_1_3_accepted_then_trades_then_the_end() -> None:
    engine = Engine()
    engine.apply(m.Place(1, 0, 1, 1, 11, m.SELL, 101, 5))
    events = engine.apply(m.Place(2, 0, 1, 2, 12, m.BUY, 102, 8, m.IOC))
    assert events == [
        m.OrderAccepted(2, 12, m.BUY, 102, 8),
        m.Trade(1, 2, 11, 12, m.BUY, 101, 5, 0, 3),
        m.OrderCancelled(2, 12, m.BUY, 102, 3, m.IOC_REST),
    ]


def test_1_4_rejected_order_changes_nothing() -> None:
    run("""
        sell #1 5@101         -> rest #1 5@101
        buy #2 6@101 fok      -> no #2 fok_unfillable
        buy #3 5@101 post     -> no #3 post_only_would_take
        book                  -> empty | 5@101
    """)


def test_1_5_open_order_id_is_not_accepted_again() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        sell #1 5@100         -> no #1 duplicate_id
        buy #1 7@99           -> no #1 duplicate_id
        book                  -> 5@100 | empty
    """)


def test_1_6_halt_is_told_before_duplicate_and_post_only() -> None:
    run("""
        sell #1 5@101         -> rest #1 5@101
        buy #1 5@101 post     -> no #1 duplicate_id
        halt                  -> state 1
        buy #1 5@101 post     -> no #1 halted
        buy #2 9@101 fok      -> no #2 halted
    """)


def test_1_6_amend_refusals_in_their_order() -> None:
    run("""
        buy #1 5@100 post     -> rest #1 5@100
        sell #2 3@100         -> #1x#2 3@100
        sell #3 1@105         -> rest #3 1@105
        amend #1 3@105 keep   -> no #1 amend_below_filled
        amend #1 4@105 keep   -> no #1 priority_needs_reduction
        amend #1 4@105        -> no #1 post_only_would_take
        halt                  -> state 1
        amend #1 3@105 keep   -> no #1 halted
        amend #9 3@105 keep   -> no #9 not_open
    """)


def test_2_1_lowest_sell_trades_first() -> None:
    run("""
        sell #1 1@103         -> rest #1 1@103
        sell #2 1@101         -> rest #2 1@101
        sell #3 1@102         -> rest #3 1@102
        buy #4 3@103          -> #2x#4 1@101, #3x#4 1@102, #1x#4 1@103
    """)


def test_2_1_highest_buy_trades_first() -> None:
    run("""
        buy #1 1@98           -> rest #1 1@98
        buy #2 1@100          -> rest #2 1@100
        buy #3 1@99           -> rest #3 1@99
        sell #4 3@98          -> #2x#4 1@100, #3x#4 1@99, #1x#4 1@98
    """)


def test_2_2_older_order_at_same_price_trades_first() -> None:
    run("""
        sell #1 5@101         -> rest #1 5@101
        sell #2 3@101         -> rest #2 3@101
        buy #3 6@102          -> #1x#3 5@101, #2x#3 1@101
        cancel #2             -> gone #2 2
        cancel #2             -> no #2 not_open
    """)


def test_2_2_an_id_says_nothing_about_age() -> None:
    run("""
        sell #9 1@101         -> rest #9 1@101
        sell #2 1@101         -> rest #2 1@101
        buy #5 1@101          -> #9x#5 1@101
    """)


def test_2_2_a_gap_in_the_queue_closes() -> None:
    run("""
        sell #1 1@101         -> rest #1 1@101
        sell #2 1@101         -> rest #2 1@101
        sell #3 1@101         -> rest #3 1@101
        cancel #2             -> gone #2 1
        buy #4 3@101          -> #1x#4 1@101, #3x#4 1@101, rest #4 1@101
    """)


def test_2_2_the_last_in_the_queue_leaves_and_another_joins() -> None:
    run("""
        sell #1 1@101         -> rest #1 1@101
        sell #2 1@101         -> rest #2 1@101
        cancel #2             -> gone #2 1
        sell #3 1@101         -> rest #3 1@101
        cancel #1             -> gone #1 1
        buy #4 1@101          -> #3x#4 1@101
        book                  -> empty | empty
    """)


def test_2_3_price_improvement_is_the_takers() -> None:
    run("""
        sell #1 2@95          -> rest #1 2@95
        buy #2 2@110          -> #1x#2 2@95
        buy #3 2@110          -> rest #3 2@110
        sell #4 2@95          -> #3x#4 2@110
    """)


def test_2_4_partly_filled_order_keeps_its_place() -> None:
    run("""
        sell #1 5@101         -> rest #1 5@101
        sell #2 5@101         -> rest #2 5@101
        buy #3 1@101          -> #1x#3 1@101
        buy #4 5@101          -> #1x#4 4@101, #2x#4 1@101
    """)


def test_2_5_a_sweep_leaves_no_crossed_book() -> None:
    run("""
        sell #1 2@101         -> rest #1 2@101
        sell #2 2@102         -> rest #2 2@102
        buy #3 5@101          -> #1x#3 2@101, rest #3 3@101
        book                  -> 3@101 | 2@102
    """)


def test_3_1_equal_prices_trade() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        sell #2 5@100         -> #1x#2 5@100
        book                  -> empty | empty
    """)


def test_3_1_a_price_beyond_the_limit_is_not_taken() -> None:
    run("""
        sell #1 1@100         -> rest #1 1@100
        sell #2 1@102         -> rest #2 1@102
        buy #3 5@101          -> #1x#3 1@100, rest #3 4@101
        sell #4 1@102         -> rest #4 1@102
    """)


def test_3_2_rest_goes_behind_the_orders_already_there() -> None:
    run("""
        sell #1 1@100         -> rest #1 1@100
        buy #2 3@99           -> rest #2 3@99
        buy #3 2@100          -> #1x#3 1@100, rest #3 1@100
        buy #4 2@100          -> rest #4 2@100
        book                  -> 3@100 3@99 | empty
        sell #5 4@99          -> #3x#5 1@100, #4x#5 2@100, #2x#5 1@99
    """)


def test_3_2_the_same_account_may_have_many_orders_on_one_side() -> None:
    run("""
        buy #1 1@100 by=7     -> rest #1 1@100
        buy #2 1@100 by=7     -> rest #2 1@100
        buy #3 1@101 by=7     -> rest #3 1@101
        sell #4 3@100         -> #3x#4 1@101, #1x#4 1@100, #2x#4 1@100
    """)


def test_1_5_a_filled_orders_id_is_free_for_the_engine() -> None:
    # Uniqueness over an order's whole history is the intake's promise, not the book's.
    run("""
        buy #1 1@100          -> rest #1 1@100
        sell #2 1@100         -> #1x#2 1@100
        buy #1 1@100          -> rest #1 1@100
    """)
