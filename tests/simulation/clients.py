"""What the clients and the staff of a simulated market ask for, made from its seed.

Every type of order, lists, amends, mass cancels, cancel-afters, market states, bands and
limits. What validation refuses before intake is not made; what intake and the engine refuse is.
Prices in ticks, quantities in lots, times in milliseconds since the Unix epoch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final

from msgspec.structs import replace

from exchange.domain.enums import (
    LIMIT_TYPES,
    TRIGGER_TYPES,
    CommandKind,
    ListKind,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from matching.engine import messages as m
from matching.engine.messages import SOURCE_BEST, SOURCE_LAST, Terms
from orders.commands.build import (
    cancel_after_command,
    cancel_all_command,
    set_band_command,
    set_feature_command,
    set_limits_command,
)
from orders.commands.words import TRIGGERS
from orders.intake.jobs import AmendJob, CommandJob, Job, ListJob, PlaceJob
from orders.validation.amends import AmendTerms
from risk.pretrade.drafts import OrderDraft
from tests.factories.market import MAKER_FEE_PPM, TAKER_FEE_PPM, Market
from tests.factories.worker import TestClock

PRICE_MIDDLE: Final = 1_000
LOTS_MAX: Final = 12
BOUND_REACH: Final = 50
RECENT: Final = 14  # orders that cancels and amends are mostly about

TYPES: Final = {
    OrderType.LIMIT: 44,
    OrderType.MARKET: 12,
    OrderType.STOP_LIMIT: 9,
    OrderType.STOP_MARKET: 9,
    OrderType.TAKE_PROFIT: 6,
    OrderType.TAKE_PROFIT_LIMIT: 6,
    OrderType.TRAILING_STOP: 9,
}
# The market opens again soon, or the life would be one of refusals.
STATES: Final = (
    *(m.OPEN,) * 14,
    *(m.HALT, m.PRE_OPEN, m.AUCTION, m.AUCTION, m.AUCTION_CUTOFF, m.POST_ONLY, m.CANCEL_ONLY),
)
# The theme of a life, by its seed in turn: the kind of command that it has most of. In a plain life
# no symbol ever gets advanced state, so recovery reads rows alone.
PLAIN, LISTS, AUCTIONS, BANDS, ALL_ALIKE = THEMES = range(5)


@dataclass(frozen=True, slots=True)
class Placed:
    """An acknowledged order, as its client remembers it."""

    account: int
    order_id: int
    side: Side
    type: OrderType


class Clients:
    """Makes jobs; `accepted` tells it which of them are orders now."""

    def __init__(self, random: Random, market: Market, clock: TestClock, theme: int) -> None:
        self.random = random
        self.theme = theme
        self.market = market
        self.clock = clock
        self.placed: list[Placed] = []
        self.not_amended: set[int] = set()  # those with an impossible price
        self.is_plain = theme == PLAIN
        self.has_begun = False
        self.is_grouped = random.random() < 0.5
        self.accounts = len(market.account_ids)
        self.drafts: dict[str, OrderDraft] = {}

    def accepted(self, account_id: int, row: Mapping[str, Any]) -> None:
        """Remember an order that was acknowledged."""
        draft = self.drafts.pop(row["client_order_id"])
        account = self.market.account_ids.index(account_id)
        self.placed.append(Placed(account, row["id"], draft.side, draft.type))

    def job(self) -> Job:
        """What comes in next."""
        if self.is_plain:
            return self._plain_job()
        if not self.has_begun:
            self.has_begun = True
            if self.theme == BANDS:
                return self._setting(CommandKind.SET_BAND, band_ppm=2_000)
            if self.theme == AUCTIONS:
                return self.market.state_job(m.AUCTION)
        asks: list[tuple[Callable[[], Job], int]] = [
            (self._order, 56),
            (self._list, 24 if self.theme == LISTS else 8),
            (self._answer, 24 if self.theme == LISTS else 3),
            (self._cancel, 12),
            (self._amend, 13),
            (self._cancel_all, 3),
            (self._cancel_after, 3),
            (self._state, 9 if self.theme == AUCTIONS else 3),
            (self._setting, 5),
        ]
        makers, weights = zip(*asks, strict=True)
        make: Callable[[], Job] = self.random.choices(makers, weights)[0]
        return make()

    def _plain_job(self) -> Job:
        luck = self.random.random()
        if luck < 0.02:
            return self._cancel_all()
        if luck < 0.04:
            return self.market.state_job(m.OPEN)
        if luck < 0.18:
            return self._cancel()
        if luck < 0.30:
            return self._amend()
        return self._order()

    # --- single orders

    def _order(self) -> Job:
        return self._place(self.random.randrange(self.accounts), self._draft())

    def _answer(self) -> Job:
        """Somebody wants what was offered not long ago, all of it and more."""
        placed = self._recent()
        if placed is None:
            return self._order()
        side = Side.SELL if placed.side is Side.BUY else Side.BUY
        reach = 8 if side is Side.BUY else -8
        draft = self._of_type(
            OrderType.LIMIT,
            side,
            LOTS_MAX,
            in_list=True,
            price_ticks=PRICE_MIDDLE + reach,
        )
        return self._place((placed.account + 1) % self.accounts, draft)

    def _place(self, account: int, draft: OrderDraft, tag: int | None = None) -> PlaceJob:
        self.drafts[draft.client_order_id] = draft
        return PlaceJob(
            account_id=self.market.account_ids[account],
            draft=draft,
            rules=self.market.rules,
            maker_fee_ppm=MAKER_FEE_PPM,
            taker_fee_ppm=TAKER_FEE_PPM,
            fingerprint="00",
            group_id=1 if self.is_grouped and account < 2 else 0,
            owner_tag=self.random.choice([0, 0, 5, 6]) if tag is None else tag,
        )

    def _draft(self) -> OrderDraft:
        side = self.random.choice([Side.BUY, Side.SELL])
        if self.is_plain:
            kind = OrderType.MARKET if self.random.random() < 0.15 else OrderType.LIMIT
        else:
            kind = self.random.choices(list(TYPES), list(TYPES.values()))[0]
        quote_atoms = 0
        if kind is OrderType.MARKET and side is Side.BUY and self.random.random() < 0.4:
            units = self.market.rules.units
            quote_atoms = self._lots() * PRICE_MIDDLE * units.quote_atoms_per_ticklot
        return self._of_type(kind, side, 0 if quote_atoms else self._lots(), quote_atoms)

    def _of_type(
        self,
        kind: OrderType,
        side: Side,
        lots: int,
        quote_atoms: int = 0,
        *,
        in_list: bool = False,
        price_ticks: int = 0,
    ) -> OrderDraft:
        random = self.random
        stop_ticks = PRICE_MIDDLE + random.randint(-8, 8) if kind in TRIGGER_TYPES else 0
        time_in_force = TimeInForce.IOC if kind is OrderType.MARKET else TimeInForce.GTC
        post_only = False
        if kind in LIMIT_TYPES and not in_list and random.random() < 0.2:
            time_in_force = random.choice([TimeInForce.IOC, TimeInForce.FOK])
        elif kind in LIMIT_TYPES and random.random() < 0.15:
            post_only = True
        has_time = time_in_force is TimeInForce.GTC and not in_list and not self.is_plain
        if has_time and random.random() < 0.2:
            time_in_force = TimeInForce.GTD
        terms = self._terms(kind, stop_ticks, lots, time_in_force, post_only=post_only)
        if kind in LIMIT_TYPES:
            price_ticks = price_ticks or self._price(side)
        else:
            start = stop_ticks or PRICE_MIDDLE
            price_ticks = start + (BOUND_REACH if side is Side.BUY else -BOUND_REACH)
        return OrderDraft(
            symbol_id=self.market.symbol_id,
            side=side,
            type=kind,
            time_in_force=time_in_force,
            post_only=post_only,
            price_ticks=price_ticks,
            quantity_lots=lots,
            quote_atoms=quote_atoms,
            client_order_id=f"c{next(self.market.client_ids)}",
            self_trade=self._self_trade(),
            terms=terms,
            reference_ticks=PRICE_MIDDLE if kind is OrderType.MARKET else 0,
        )

    def _terms(
        self,
        kind: OrderType,
        stop_ticks: int,
        lots: int,
        time_in_force: TimeInForce,
        *,
        post_only: bool,
    ) -> Terms | None:
        random = self.random
        if self.is_plain:
            return None
        source = SOURCE_LAST
        if kind in TRIGGER_TYPES and random.random() < 0.3:
            source = SOURCE_BEST
        trail_ticks = trail_ppm = activation_ticks = 0
        if kind is OrderType.TRAILING_STOP:
            trail_ticks, trail_ppm = random.choice([(3, 0), (6, 0), (0, 2_000), (0, 5_000)])
            activation_ticks = random.choice([0, stop_ticks])
            stop_ticks = 0
        is_gathering = time_in_force in (TimeInForce.GTC, TimeInForce.GTD)
        may_hide = kind in LIMIT_TYPES and is_gathering and lots > 1
        terms = Terms(
            trigger=TRIGGERS[kind],
            stop_ticks=stop_ticks,
            source=source,
            trail_ticks=trail_ticks,
            trail_ppm=trail_ppm,
            activation_ticks=activation_ticks,
            display_lots=random.randint(1, lots - 1) if may_hide and random.random() < 0.2 else 0,
            expire_ms=self._soon() if time_in_force is TimeInForce.GTD else 0,
            reprice=post_only and random.random() < 0.6,
        )
        return None if terms == Terms() else terms

    def _soon(self) -> int:
        return self.clock.now_ms() + self.random.choice([1, 300, 3_000, 20_000])

    def _self_trade(self) -> SelfTradePrevention:
        if self.is_plain:
            luck = self.random.random()
            is_maker = luck < 0.1
            return SelfTradePrevention.NONE if is_maker else SelfTradePrevention.CANCEL_INCOMING
        modes: list[SelfTradePrevention] = [
            SelfTradePrevention.CANCEL_INCOMING,
            *SelfTradePrevention,
        ]
        return self.random.choice(modes)

    def _lots(self) -> int:
        return self.random.randint(1, LOTS_MAX)

    def _price(self, side: Side) -> int:
        """Mostly around the middle, so that a good part of the orders meet."""
        lean = -2 if side is Side.BUY else 2
        return PRICE_MIDDLE + lean + self.random.randint(-4, 4)

    # --- lists

    def _list(self) -> Job:
        random = self.random
        kind = random.choice([ListKind.OCO, ListKind.OCO, ListKind.OTO, ListKind.OTOCO])
        account = random.randrange(self.accounts)
        if kind is ListKind.OCO:
            side = random.choice([Side.BUY, Side.SELL])
            drafts = self._pair(side, LOTS_MAX)
        else:
            drafts = self._parent_and_children(kind)
        tag = random.choice([0, 5])
        places = [self._place(account, draft, tag) for draft in drafts]
        return ListJob(account_id=self.market.account_ids[account], kind=kind, places=places)

    def _pair(self, side: Side, lots_max: int, price_ticks: int = 0) -> list[OrderDraft]:
        """One with a trigger at least, in either order; no more than `lots_max` each."""
        random = self.random
        triggered = random.choice([OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT])
        if not price_ticks:
            triggered = random.choice([*sorted(TRIGGER_TYPES), triggered])
        other = random.choice([OrderType.LIMIT, OrderType.LIMIT, triggered])
        drafts = [
            self._of_type(
                one, side, random.randint(1, lots_max), in_list=True, price_ticks=price_ticks
            )
            for one in (other, triggered)
        ]
        random.shuffle(drafts)
        return drafts

    def _parent_and_children(self, kind: ListKind) -> list[OrderDraft]:
        """A parent, and children that its fills can pay for where they do."""
        random = self.random
        side = random.choice([Side.BUY, Side.SELL])
        types = [OrderType.LIMIT, OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.STOP_MARKET]
        lots = random.randint(2, 6)
        parent = self._of_type(random.choice(types), side, lots, in_list=True)
        while parent.self_trade is SelfTradePrevention.DECREMENT:
            parent = self._of_type(random.choice(types), side, lots, in_list=True)
        is_limit = parent.type is OrderType.LIMIT and not parent.post_only
        if is_limit and random.random() < 0.6:  # it soon trades
            reach = 3 if side is Side.BUY else -3
            parent = replace(parent, price_ticks=PRICE_MIDDLE + reach)
        child_side = random.choice([Side.BUY, Side.SELL])
        lots_max, price_ticks = LOTS_MAX, 0
        if child_side is not side and side is Side.BUY:
            lots_max = lots
        elif child_side is not side:
            # A quarter below what the sell must bring: the fee of both sides fits in between.
            lots_max, price_ticks = lots, parent.price_ticks * 3 // 4
        if kind is ListKind.OTOCO:
            return [parent, *self._pair(child_side, lots_max, price_ticks)]
        child_type = OrderType.LIMIT if price_ticks else random.choice(types)
        child = self._of_type(
            child_type,
            child_side,
            random.randint(1, lots_max),
            in_list=True,
            price_ticks=price_ticks,
        )
        return [parent, child]

    # --- changes

    def _recent(self) -> Placed | None:
        return self.random.choice(self.placed[-RECENT:]) if self.placed else None

    def _cancel(self) -> Job:
        placed = self._recent()
        if placed is None:
            return self._order()
        return self.market.cancel_job(placed.account, placed.order_id)

    def _amend(self) -> Job:
        random = self.random
        placed = self._recent()
        if placed is None or placed.order_id in self.not_amended:
            return self._cancel()
        luck = random.random()
        is_limit = placed.type in LIMIT_TYPES
        changes: dict[str, int] = {}
        if is_limit and luck < 0.5:
            changes["price_ticks"] = self._price(placed.side)
        if not self.is_plain and placed.type in TRIGGER_TYPES and random.random() < 0.5:
            changes["stop_ticks"] = PRICE_MIDDLE + random.randint(-8, 8)
        if not self.is_plain and is_limit and random.random() < 0.15:
            changes["display_lots"] = random.randint(1, 4)
        if luck > 0.3 or not changes:
            changes["quantity_lots"] = self._lots()
        return AmendJob(
            account_id=self.market.account_ids[placed.account],
            order_id=placed.order_id,
            side=placed.side,
            rules=self.market.rules,
            keep_priority=luck > 0.85,
            terms=AmendTerms(**changes),
        )

    def _cancel_all(self) -> Job:
        random = self.random
        if self.is_plain:
            return self.market.cancel_all_job(random.randrange(self.accounts))
        account_id = random.choice([*self.market.account_ids, m.ALL_ACCOUNTS])
        return CommandJob(
            CommandKind.CANCEL_ALL,
            partial(
                cancel_all_command,
                account_id=account_id,
                side=random.choice([-1, -1, m.BUY, m.SELL]),
                owner_tag=random.choice([0, 0, 5]),
            ),
            symbol_id=self.market.symbol_id,
            partition_id=self.market.partition_id,
            account_id=account_id,
        )

    def _cancel_after(self) -> Job:
        account_id = self.random.choice(self.market.account_ids)
        return CommandJob(
            CommandKind.CANCEL_AFTER,
            partial(
                cancel_after_command,
                account_id=account_id,
                owner_tag=self.random.choice([0, 0, 5]),
                due_ms=self.random.choice([0, self._soon(), self._soon()]),
            ),
            symbol_id=self.market.symbol_id,
            partition_id=self.market.partition_id,
            account_id=account_id,
        )

    # --- staff

    def _state(self) -> Job:
        state = self.random.choice(STATES)
        if self.random.random() < 0.01:
            state = m.CLOSED
        return self.market.state_job(state)

    def _setting(self, kind: CommandKind | None = None, band_ppm: int = -1) -> Job:
        random = self.random
        kinds = [CommandKind.SET_BAND, CommandKind.SET_LIMITS, CommandKind.SET_FEATURE]
        kind = kind or random.choice(kinds)
        # Drawn now: the job may be built twice, and must say the same both times.
        band = {
            "band_ppm": band_ppm if band_ppm >= 0 else random.choice([0, 2_000, 3_000, 6_000]),
            "reference_ticks": PRICE_MIDDLE if band_ppm > 0 else random.choice([0, PRICE_MIDDLE]),
            "move_ppm": random.choice([0, 10_000]),
            "move_after_ms": random.choice([0, 3_000]),
            "limit_ms": 200 if band_ppm > 0 else random.choice([0, 200, 3_000]),
            "pause_ms": random.choice([0, 1_000]),
            "call_ms": random.choice([0, 1_000]),
        }
        account_id = random.choice([*self.market.account_ids, m.ALL_ACCOUNTS])
        maxima = random.choice([0, 6, 15]), random.choice([0, 2, 6])
        feature, is_on = random.choice(m.FEATURES), random.random() < 0.5

        def build(*, command_id: int, symbol_id: int) -> m.Command:
            if kind is CommandKind.SET_BAND:
                return set_band_command(command_id=command_id, symbol_id=symbol_id, **band)
            if kind is CommandKind.SET_FEATURE:
                return set_feature_command(
                    command_id=command_id, symbol_id=symbol_id, feature=feature, is_on=is_on
                )
            return set_limits_command(
                command_id=command_id,
                symbol_id=symbol_id,
                account_id=account_id,
                open_orders_max=maxima[0],
                stop_orders_max=maxima[1],
            )

        return CommandJob(
            kind,
            build,
            symbol_id=self.market.symbol_id,
            partition_id=self.market.partition_id,
        )
