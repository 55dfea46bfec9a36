"""Rules 9 to 11: self-trade, halt, faults (matching/README.md)."""

import pytest

from matching.engine import messages as m
from matching.engine.core import Engine
from tests.scenario import run


def test_9_1_incoming_order_meets_its_own_account() -> None:
    """B4."""
    run("""
        sell #1 5@101 by=7        -> rest #1 5@101
        buy #2 3@101 by=7         -> gone #2 3 self_trade
        book                      -> empty | 5@101
    """)


def test_9_1_holds_for_every_kind_of_order() -> None:
    run("""
        buy #1 5@100 by=7         -> rest #1 5@100
        sell #2 3@100 by=7        -> gone #2 3 self_trade
        sell #3 3@100 ioc by=7    -> gone #3 3 self_trade
        sell #4 3@90 market by=7  -> gone #4 3 self_trade
        sell #5 3@100 fok by=7    -> no #5 fok_unfillable
        sell #6 3@100 post by=7   -> no #6 post_only_would_take
        book                      -> 5@100 | empty
    """)


def test_9_2_what_traded_before_stays() -> None:
    run("""
        sell #1 2@100 by=8        -> rest #1 2@100
        sell #2 2@101 by=7        -> rest #2 2@101
        sell #3 2@102 by=8        -> rest #3 2@102
        buy #4 6@102 by=7         -> #1x#4 2@100, gone #4 4 self_trade
        book                      -> empty | 2@101 2@102
    """)


def test_9_3_own_order_behind_the_front_stops_nothing() -> None:
    run("""
        sell #1 2@100 by=8        -> rest #1 2@100
        sell #2 2@100 by=7        -> rest #2 2@100
        buy #3 2@100 by=7         -> #1x#3 2@100
        buy #4 1@99 by=7          -> rest #4 1@99
    """)


def test_9_4_exempt_order_trades_with_its_own_account() -> None:
    run("""
        sell #1 5@101 by=7            -> rest #1 5@101
        buy #2 3@101 exempt by=7      -> #1x#2 3@101
    """)


def test_9_4_the_incoming_orders_choice_decides() -> None:
    run("""
        sell #1 5@101 exempt by=7     -> rest #1 5@101
        buy #2 3@101 by=7             -> gone #2 3 self_trade
    """)


def test_9_5_amended_order_counts_as_incoming() -> None:
    run("""
        sell #1 5@101 by=7            -> rest #1 5@101
        buy #2 3@99 by=7              -> rest #2 3@99
        amend #2 @101                 -> now #2 3/3@101, gone #2 3 self_trade
        cancel #2                     -> no #2 not_open
    """)


def test_9_5_amended_order_keeps_its_exemption() -> None:
    run("""
        sell #1 5@101 by=7            -> rest #1 5@101
        buy #2 3@99 exempt by=7       -> rest #2 3@99
        amend #2 @101                 -> now #2 3/3@101, #1x#2 3@101
    """)


def test_10_1_halted_symbol_refuses_orders_and_amends() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        halt                  -> state 1
        sell #2 5@100         -> no #2 halted
        sell #3 5@100 ioc     -> no #3 halted
        sell #4 5@90 market   -> no #4 halted
        amend #1 4 keep       -> no #1 halted
        amend #1 @99          -> no #1 halted
        book                  -> 5@100 | empty
    """)


def test_10_2_cancels_work_while_halted() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        buy #2 5@100 by=7     -> rest #2 5@100
        halt                  -> state 1
        cancel #1             -> gone #1 5
        cancel-all by=7       -> gone #2 5 cancelled_by_cancel_all
        cancel #1             -> no #1 not_open
    """)


def test_10_3_places_are_kept_over_a_halt() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        buy #2 5@100          -> rest #2 5@100
        halt                  -> state 1
        resume                -> state 0
        sell #3 6@100         -> #1x#3 5@100, #2x#3 1@100
    """)


def test_10_4_a_state_may_be_confirmed() -> None:
    run("""
        resume                -> state 0
        halt                  -> state 1
        halt                  -> state 1
        resume                -> state 0
        buy #1 5@100          -> rest #1 5@100
    """)


def test_10_5_symbols_are_apart() -> None:
    engine = Engine()
    engine.apply(m.SetState(1, 0, 1, m.HALT))
    assert engine.apply(m.Place(5, 0, 1, 5, 11, m.BUY, 100, 1)) == [
        m.OrderRejected(5, 11, m.SYMBOL_HALTED)
    ]
    assert engine.apply(m.Place(5, 0, 2, 5, 11, m.BUY, 100, 1)) == [
        m.OrderAccepted(5, 11, m.BUY, 100, 1)
    ]
    # The same id in another symbol's book is another order.
    engine.apply(m.SetState(2, 0, 1, m.OPEN))
    assert engine.apply(m.Cancel(6, 0, 1, 5)) == [m.CommandRefused(6, 5, m.NOT_OPEN)]
    assert engine.book(2).best_bid() == 100
    assert engine.book(1).best_bid() is None


def test_11_1_faulty_command_is_refused_and_changes_nothing() -> None:
    run("""
        buy #1 5@100          -> rest #1 5@100
        fault #2 place        -> no #2 fault
        fault #1              -> no #1 fault
        book                  -> 5@100 | empty
        sell #3 5@100         -> #1x#3 5@100
    """)


def test_11_1_the_refusal_takes_the_form_of_what_it_replaces() -> None:
    engine = Engine()
    assert engine.apply(m.RefuseFaulty(5, 0, 1, 5, True)) == [m.OrderRejected(5, 0, m.ENGINE_FAULT)]
    assert engine.apply(m.RefuseFaulty(6, 0, 1, 5, False)) == [
        m.CommandRefused(6, 5, m.ENGINE_FAULT)
    ]
    assert engine.sequence == 2


def test_17_8_validation_keeps_decrement_from_an_order_that_releases_others() -> None:
    with pytest.raises(AssertionError, match="what releases is filled"):
        run("oto buy #1 5@100 decrement ; sell #2 5@105 -> nothing")
    run("oto buy #1 5@100 ; sell #2 5@105 decrement -> list 1, wait #2, rest #1 5@100")
