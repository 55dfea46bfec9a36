"""A small market for one test: fresh assets, one partition, funded accounts.

Every market has assets and a partition that no other test uses, so that totals and sequences can
be checked exactly without emptying tables. Orders go through the real intake batch.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

import psycopg

from exchange.domain.enums import (
    CommandKind,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from exchange.domain.ids import IdGenerator
from exchange.domain.symbol_rules import SymbolRules
from exchange.selectors import symbol_rules
from orders.commands.build import cancel_all_command, cancel_command, set_state_command
from orders.intake.batch import commit_batch
from orders.intake.decisions import StreamEntry
from orders.intake.jobs import Accepted, AmendJob, CommandJob, Job, PlaceJob
from orders.validation.amends import AmendTerms
from risk.pretrade.drafts import OrderDraft
from tests.factories.models import AccountFactory, SymbolFactory, funds_give

MAKER_FEE_PPM = 500
TAKER_FEE_PPM = 1_000
PARTITIONS = itertools.count(1_000)


class MemoryPublisher:
    """A CommandPublisher that keeps the published entries in memory."""

    def __init__(self) -> None:
        self.entries: list[StreamEntry] = []

    def publish(self, entries: Sequence[StreamEntry]) -> None:
        self.entries.extend(entries)

    def confirm(self) -> None:
        """All entries have arrived."""

    def take(self) -> list[bytes]:
        """Return the payloads published since the last call, and forget them."""
        taken = [payload for _, payload in self.entries]
        self.entries.clear()
        return taken


@dataclass(slots=True)
class Market:
    """One symbol in a partition of its own, with accounts that have funds."""

    partition_id: int
    rules: SymbolRules
    account_ids: list[int]
    base_id: int
    quote_id: int
    ids: IdGenerator
    publisher: MemoryPublisher = field(default_factory=MemoryPublisher)
    client_ids: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def symbol_id(self) -> int:
        return self.rules.units.symbol_id

    def place_job(
        self,
        account: int,
        side: Side,
        quantity_lots: int,
        price_ticks: int,
        *,
        type: OrderType = OrderType.LIMIT,
        time_in_force: TimeInForce = TimeInForce.GTC,
        post_only: bool = False,
        quote_atoms: int = 0,
        self_trade: SelfTradePrevention = SelfTradePrevention.CANCEL_INCOMING,
    ) -> PlaceJob:
        draft = OrderDraft(
            symbol_id=self.symbol_id,
            side=side,
            type=type,
            time_in_force=time_in_force,
            post_only=post_only,
            price_ticks=price_ticks,
            quantity_lots=quantity_lots,
            quote_atoms=quote_atoms,
            client_order_id=f"c{next(self.client_ids)}",
            self_trade=self_trade,
        )
        return PlaceJob(
            account_id=self.account_ids[account],
            draft=draft,
            rules=self.rules,
            maker_fee_ppm=MAKER_FEE_PPM,
            taker_fee_ppm=TAKER_FEE_PPM,
            fingerprint="00",
        )

    def cancel_job(self, account: int, order_id: int) -> CommandJob:
        return CommandJob(
            CommandKind.CANCEL,
            partial(cancel_command, order_id=order_id),
            symbol_id=self.symbol_id,
            partition_id=self.partition_id,
            account_id=self.account_ids[account],
            order_id=order_id,
        )

    def cancel_all_job(self, account: int) -> CommandJob:
        return CommandJob(
            CommandKind.CANCEL_ALL,
            partial(cancel_all_command, account_id=self.account_ids[account]),
            symbol_id=self.symbol_id,
            partition_id=self.partition_id,
            account_id=self.account_ids[account],
        )

    def state_job(self, state: int) -> CommandJob:
        return CommandJob(
            CommandKind.SET_STATE,
            partial(set_state_command, state=state),
            symbol_id=self.symbol_id,
            partition_id=self.partition_id,
        )

    def amend_job(
        self,
        account: int,
        order_id: int,
        side: Side,
        *,
        price_ticks: int = 0,
        quantity_lots: int = 0,
        keep_priority: bool = False,
    ) -> AmendJob:
        return AmendJob(
            account_id=self.account_ids[account],
            order_id=order_id,
            side=side,
            rules=self.rules,
            terms=AmendTerms(price_ticks, quantity_lots),
            keep_priority=keep_priority,
        )

    def submit(self, connection: psycopg.Connection, *jobs: Job) -> list[int]:
        """Run one intake batch; return the ids of the jobs' commands, all accepted."""
        deferred = commit_batch(
            connection, jobs, self.publisher, next_id=self.ids.next_id, wait_for_locks=True
        )
        assert not deferred
        for job in jobs:
            assert isinstance(job.outcome, Accepted), job.outcome
        return [job.command_id for job in jobs]

    def place(
        self, connection: psycopg.Connection, account: int, side: Side, lots: int, ticks: int
    ) -> int:
        """Accept one limit order and return its id."""
        [order_id] = self.submit(connection, self.place_job(account, side, lots, ticks))
        return order_id


def market_make(
    *, ids: IdGenerator, accounts: int = 3, funds: Decimal = Decimal(1_000_000)
) -> Market:
    """Make a market: tick 0.01, lot 0.001, quote scale 6, base scale 8; every account funded."""
    number = next(PARTITIONS)
    symbol = SymbolFactory.create(
        code=f"B{number}-Q{number}",
        base__scale=8,
        quote__scale=6,
        lot=Decimal("0.001"),
        quantity_min=Decimal("0.001"),
        notional_min=Decimal("0.000001"),
        partition_id=number,
    )
    account_ids = [account.pk for account in AccountFactory.create_batch(accounts)]
    for account_id in account_ids:
        for asset_id in (symbol.base_id, symbol.quote_id):
            funds_give(account_id, asset_id, funds)
    return Market(
        partition_id=number,
        rules=symbol_rules(symbol),
        account_ids=account_ids,
        base_id=symbol.base_id,
        quote_id=symbol.quote_id,
        ids=ids,
    )
