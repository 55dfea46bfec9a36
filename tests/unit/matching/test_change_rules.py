"""Rules 7 and 8: cancel, cancel-all, amend (matching/README.md)."""

from matching.engine import messages as m
from tests.scenario import SYMBOL, run


def test_7_1_cancel_ends_the_open_rest_only() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        sell #2 2@100         -> #1x#2 2@100
        cancel #1             -> gone #1 3
    """)


def test_7_2_nothing_trades_after_a_cancel() -> None:
    """O3."""
    run("""
        buy #1 5@100          -> rest #1 5@100
        cancel #1             -> gone #1 5
        sell #2 5@100         -> rest #2 5@100
    """)


def test_7_3_cancel_of_what_is_not_open() -> None:
    run("""
        cancel #1             -> no #1 not_open
        buy #1 5@100          -> rest #1 5@100
        sell #2 5@100         -> #1x#2 5@100
        cancel #1             -> no #1 not_open
        cancel #2             -> no #2 not_open
        buy #3 1@100 ioc      -> gone #3 1 ioc_rest
        cancel #3             -> no #3 not_open
    """)


def test_7_4_cancel_all_goes_by_age_of_the_queue_place() -> None:
    run("""
        buy #1 1@100 by=7     -> rest #1 1@100
        sell #2 1@105 by=7    -> rest #2 1@105
        buy #3 1@99 by=7      -> rest #3 1@99
        buy #4 1@98 by=8      -> rest #4 1@98
        amend #1 2            -> now #1 2/2@100, rest #1 2@100
        cancel-all by=7       -> gone #2 1 cancelled_by_cancel_all, \
gone #3 1 cancelled_by_cancel_all, gone #1 2 cancelled_by_cancel_all
        book                  -> 1@98 | empty
    """)


def test_7_4_cancel_all_of_one_side() -> None:
    run("""
        buy #1 1@100 by=7     -> rest #1 1@100
        sell #2 1@105 by=7    -> rest #2 1@105
        cancel-all by=7 sell  -> gone #2 1 cancelled_by_cancel_all
        cancel-all by=7 sell  -> nothing
        cancel-all by=7 buy   -> gone #1 1 cancelled_by_cancel_all
    """)


def test_7_4_cancel_all_tells_only_what_is_open() -> None:
    run("""
        buy #1 5@100 by=7     -> rest #1 5@100
        sell #2 2@100         -> #1x#2 2@100
        cancel-all by=7       -> gone #1 3 cancelled_by_cancel_all
    """)


def test_7_5_cancel_all_with_nothing_open() -> None:
    run("""
        cancel-all by=7       -> nothing
        buy #1 5@100          -> rest #1 5@100
        cancel-all by=7       -> nothing
        book                  -> 5@100 | empty
    """)


def test_8_1_filled_lots_count_in_the_new_total() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        sell #2 2@100         -> #1x#2 2@100
        amend #1 8            -> now #1 6/8@100, rest #1 6@100
        amend #1 3            -> now #1 1/3@100, rest #1 1@100
        book                  -> 1@100 | empty
    """)


def test_8_1_price_and_quantity_together() -> None:
    run("""
        sell #1 5@105         -> rest #1 5@105
        amend #1 2@104        -> now #1 2/2@104, rest #1 2@104
        book                  -> empty | 2@104
    """)


def test_8_1_every_field_of_the_amended_event() -> None:
    engine = run("""
        buy #1 5@100          -> rest #1 5@100
        sell #2 2@100         -> #1x#2 2@100
    """)
    assert engine.apply(m.Amend(9, 0, SYMBOL, 1, 99, 10)) == [
        m.OrderAmended(1, 1_001, m.BUY, 100, 3, 99, 10, 8, False)
    ]


def test_8_2_amended_order_goes_to_the_back() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        buy #2 5@100          -> rest #2 5@100
        amend #1 6            -> now #1 6/6@100, rest #1 6@100
        sell #3 6@100         -> #2x#3 5@100, #1x#3 1@100
    """)


def test_8_2_a_reduction_goes_to_the_back_too_unless_asked_otherwise() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        buy #2 5@100          -> rest #2 5@100
        amend #1 4            -> now #1 4/4@100, rest #1 4@100
        sell #3 6@100         -> #2x#3 5@100, #1x#3 1@100
    """)


def test_8_2_same_terms_go_to_the_back() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        buy #2 5@100          -> rest #2 5@100
        amend #1 5@100        -> now #1 5/5@100, rest #1 5@100
        sell #3 1@100         -> #2x#3 1@100
    """)


def test_8_3_amended_order_may_trade_at_once() -> None:
    run("""
        sell #1 2@101         -> rest #1 2@101
        sell #2 2@102         -> rest #2 2@102
        buy #3 5@99           -> rest #3 5@99
        amend #3 @102         -> now #3 5/5@102, #1x#3 2@101, #2x#3 2@102, rest #3 1@102
        book                  -> 1@102 | empty
    """)


def test_8_3_amended_order_may_fill_and_leave() -> None:
    run("""
        sell #1 5@101         -> rest #1 5@101
        buy #2 5@99           -> rest #2 5@99
        amend #2 @101         -> now #2 5/5@101, #1x#2 5@101
        cancel #2             -> no #2 not_open
        book                  -> empty | empty
    """)


def test_8_3_amended_part_fill_keeps_counting_from_the_first_trade() -> None:
    run("""
        buy #1 9@100          -> rest #1 9@100
        sell #2 4@100         -> #1x#2 4@100
        sell #3 3@102         -> rest #3 3@102
        amend #1 @102         -> now #1 5/9@102, #3x#1 3@102, rest #1 2@102
        amend #1 7            -> no #1 amend_below_filled
        amend #1 8            -> now #1 1/8@102, rest #1 1@102
    """)


def test_8_4_total_not_above_the_filled_part_is_refused() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        sell #2 3@100         -> #1x#2 3@100
        amend #1 3            -> no #1 amend_below_filled
        amend #1 2@101        -> no #1 amend_below_filled
        amend #1 3 keep       -> no #1 amend_below_filled
        book                  -> 2@100 | empty
    """)


def test_8_5_reduction_that_keeps_its_place() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        buy #2 5@100          -> rest #2 5@100
        amend #1 4 keep       -> now #1 4/4@100 kept
        book                  -> 9@100 | empty
        sell #3 5@100         -> #1x#3 4@100, #2x#3 1@100
    """)


def test_8_5_reduction_of_a_partly_filled_order() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        buy #2 5@100          -> rest #2 5@100
        sell #3 2@100         -> #1x#3 2@100
        amend #1 3@100 keep   -> now #1 1/3@100 kept
        sell #4 2@100         -> #1x#4 1@100, #2x#4 1@100
    """)


def test_8_5_a_reduced_total_is_the_total_from_then_on() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        sell #2 2@100         -> #1x#2 2@100
        amend #1 4 keep       -> now #1 2/4@100 kept
        amend #1 4 keep       -> no #1 priority_needs_reduction
        amend #1 @99          -> now #1 2/4@99, rest #1 2@99
        amend #1 5            -> now #1 3/5@99, rest #1 3@99
    """)


def test_8_6_place_is_kept_for_a_pure_reduction_only() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        amend #1 6 keep       -> no #1 priority_needs_reduction
        amend #1 5 keep       -> no #1 priority_needs_reduction
        amend #1 4@101 keep   -> no #1 priority_needs_reduction
        amend #1 @99 keep     -> no #1 priority_needs_reduction
        amend #1 @100 keep    -> no #1 priority_needs_reduction
    """)


def test_8_7_refused_amend_leaves_the_queue_place() -> None:
    run("""
        sell #1 1@105         -> rest #1 1@105
        buy #2 5@100 post     -> rest #2 5@100
        buy #3 5@100          -> rest #3 5@100
        amend #2 @105         -> no #2 post_only_would_take
        amend #2 7 keep       -> no #2 priority_needs_reduction
        halt                  -> state 1
        amend #2 4            -> no #2 halted
        resume                -> state 0
        sell #4 6@100         -> #2x#4 5@100, #3x#4 1@100
    """)


def test_8_8_amend_of_what_is_not_open() -> None:
    run("""
        amend #1 5@100        -> no #1 not_open
        buy #1 5@100          -> rest #1 5@100
        cancel #1             -> gone #1 5
        amend #1 5@100        -> no #1 not_open
        book                  -> empty | empty
    """)


def test_8_9_amended_order_is_cancelled_by_its_id() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        amend #1 4@98         -> now #1 4/4@98, rest #1 4@98
        cancel #1             -> gone #1 4
    """)
