"""Hypothesis strategies shared by property tests."""

from hypothesis import strategies as st

from matching.engine import messages as m

# Few of everything, so that orders meet, queues form and accounts trade with themselves.
SYMBOL_IDS = (1, 2)
ACCOUNT_IDS = (11, 12, 13)
ORDER_IDS_MAX = 60
PRICES = st.integers(95, 105)
LOTS = st.integers(1, 12)
SYMBOLS = st.sampled_from((*SYMBOL_IDS, SYMBOL_IDS[0], SYMBOL_IDS[0]))
ACCOUNTS = st.sampled_from(ACCOUNT_IDS)
ORDERS = st.integers(1, ORDER_IDS_MAX)
SIDES = st.sampled_from((m.BUY, m.SELL))
SELF_TRADES = st.sampled_from((m.STP_CANCEL_INCOMING, m.STP_CANCEL_INCOMING, m.STP_NONE))


@st.composite
def places(draw: st.DrawFn) -> m.Place:
    """Any order that the validation in front of the engine lets through."""
    kind = draw(st.sampled_from(("gtc", "gtc", "gtc", "post", "ioc", "fok", "market", "quote")))
    order_id = draw(ORDERS)
    return m.Place(
        command_id=order_id,
        time_ms=0,
        symbol_id=draw(SYMBOLS),
        order_id=order_id,
        account_id=draw(ACCOUNTS),
        side=draw(SIDES),
        price_ticks=draw(PRICES),
        quantity_lots=0 if kind == "quote" else draw(LOTS),
        time_in_force={"gtc": m.GTC, "post": m.GTC, "fok": m.FOK}.get(kind, m.IOC),
        post_only=kind == "post",
        market=kind in ("market", "quote"),
        budget_ticklots=draw(st.integers(1, 3_000)) if kind == "quote" else 0,
        self_trade=draw(SELF_TRADES),
    )


def amends() -> st.SearchStrategy[m.Amend]:
    """Any amend, its order open or not, with either term left out at times."""
    return st.builds(
        m.Amend,
        command_id=st.just(7),
        time_ms=st.just(0),
        symbol_id=SYMBOLS,
        order_id=ORDERS,
        price_ticks=st.just(0) | PRICES,
        quantity_lots=st.just(0) | LOTS,
        keep_priority=st.booleans(),
    )


def commands() -> st.SearchStrategy[m.Command]:
    """Any command, orders being the most frequent."""
    number, now = st.just(8), st.just(0)
    cancels = st.builds(m.Cancel, number, now, SYMBOLS, ORDERS)
    cancel_alls = st.builds(
        m.CancelAll, number, now, SYMBOLS, ACCOUNTS, st.sampled_from((-1, m.BUY, m.SELL))
    )
    states = st.builds(
        m.SetState, number, now, SYMBOLS, st.sampled_from((m.OPEN, m.OPEN, m.OPEN, m.HALT))
    )
    faults = st.builds(m.RefuseFaulty, number, now, SYMBOLS, ORDERS, st.booleans())
    rare = st.one_of(cancel_alls, states, faults)
    return st.one_of(places(), places(), places(), places(), amends(), cancels, rare)


def aimed(history: list[m.Command]) -> list[m.Command]:
    """Point most cancels and amends at an order that was placed before them.

    Aimed at random they would nearly always miss; a few still do.
    """
    placed: list[m.Place] = []
    for command in history:
        if isinstance(command, m.Place):
            placed.append(command)
        elif isinstance(command, m.Cancel | m.Amend) and placed and command.order_id % 5:
            target = placed[-(command.order_id % min(len(placed), 6)) - 1]
            command.symbol_id, command.order_id = target.symbol_id, target.order_id
    return history


def command_lists(max_size: int = 60) -> st.SearchStrategy[list[m.Command]]:
    """Histories of commands from an empty engine.

    The length is drawn first: left to itself, a list stays too short for orders to meet.
    """
    lengths = st.integers(0, max_size)
    return lengths.flatmap(lambda size: st.lists(commands(), min_size=size, max_size=size)).map(
        aimed
    )
