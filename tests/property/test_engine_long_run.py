"""matching.engine in long seeded histories: a deep, crowded book, like the naive book's."""

import random

import pytest

import matching.engine.book
from matching.engine import messages as m
from matching.engine.core import Engine
from tests.oracles.naive.book import NaiveEngine

COMMANDS = 4_000
SYMBOL = 1


def history(seed: int) -> list[m.Command]:
    """Mostly passive orders of 40 accounts around a wandering price; some takers and changes."""
    chance = random.Random(seed)
    middle = 1_000
    commands: list[m.Command] = []
    for number in range(1, COMMANDS + 1):
        middle += chance.choice((-1, 0, 0, 1))
        kind = chance.choices(("place", "cancel", "amend", "all", "state"), (70, 12, 14, 1, 1))[0]
        known = chance.randrange(max(1, number - 400), number + 1)
        match kind:
            case "place":
                commands.append(place(chance, number, middle))
            case "cancel":
                commands.append(m.Cancel(number, 0, SYMBOL, known))
            case "amend":
                price = chance.choice((0, middle + chance.randint(-12, 12)))
                lots = chance.choice((0, chance.randint(1, 60)))
                commands.append(
                    m.Amend(number, 0, SYMBOL, known, price, lots, chance.random() < 0.3)
                )
            case "all":
                commands.append(m.CancelAll(number, 0, SYMBOL, chance.randrange(40)))
            case "state":
                state = chance.choice((m.OPEN, m.OPEN, m.HALT))
                commands.append(m.SetState(number, 0, SYMBOL, state))
                commands.append(m.SetState(number, 0, SYMBOL, m.OPEN))
    return commands


def place(chance: random.Random, number: int, middle: int) -> m.Place:
    side = chance.choice((m.BUY, m.SELL))
    kind = chance.choices(("gtc", "post", "ioc", "fok", "market", "quote"), (50, 25, 8, 5, 6, 6))[0]
    toward = 1 if side == m.BUY else -1
    taking = kind in ("ioc", "fok", "market", "quote")
    distance = chance.randint(0, 15) if taking else chance.randint(-15, 3)
    return m.Place(
        command_id=number,
        time_ms=0,
        symbol_id=SYMBOL,
        order_id=number,
        account_id=chance.randrange(40),
        side=side,
        price_ticks=middle + toward * distance,
        quantity_lots=0 if kind == "quote" else chance.randint(1, 60),
        time_in_force={"gtc": m.GTC, "post": m.GTC, "fok": m.FOK}.get(kind, m.IOC),
        post_only=kind == "post",
        market=kind in ("market", "quote"),
        budget_ticklots=chance.randint(1, 100_000) if kind == "quote" else 0,
        self_trade=chance.choice((m.STP_CANCEL_INCOMING, m.STP_NONE)),
    )


@pytest.mark.parametrize(("seed", "single_dict_max"), [(0, 20_000), (1, 20_000), (2, 30), (3, 30)])
def test_engine_equals_the_naive_book_in_a_crowded_market(
    seed: int, single_dict_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B1, B2, B4, B5, however the open orders are indexed."""
    monkeypatch.setattr(matching.engine.book, "SINGLE_DICT_MAX", single_dict_max)
    engine, naive = Engine(), NaiveEngine()
    trades = 0
    for number, command in enumerate(history(seed)):
        events = engine.apply(command)
        assert events == naive.apply(command), f"command {number} of seed {seed}: {command}"
        trades += sum(type(event) is m.Trade for event in events)
        if number % 20 == 0:
            engine.check()
    engine.check()
    assert (type(engine.book(SYMBOL).orders) is dict) == (single_dict_max > COMMANDS)
    assert trades > COMMANDS // 20, "the history must trade, or it shows nothing"
