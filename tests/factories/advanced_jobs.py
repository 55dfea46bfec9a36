"""Jobs that need advanced state: triggers, icebergs, expiry, lists, cancel-afters."""

from functools import partial
from typing import Any

import psycopg
from msgspec.structs import replace

from exchange.domain.enums import (
    CommandKind,
    ListKind,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from matching.engine.messages import Terms
from orders.commands.build import cancel_after_command
from orders.commands.words import TRIGGERS
from orders.intake.batch import commit_batch
from orders.intake.jobs import CommandJob, Job, ListJob, PlaceJob
from tests.factories.market import MAKER_FEE_PPM, TAKER_FEE_PPM, Market


def submit(market: Market, connection: psycopg.Connection, *jobs: Job) -> list[int]:
    """Run one intake batch of jobs that are all accepted; return the ids of their commands."""
    commit_batch(
        connection, jobs, market.publisher, next_id=market.ids.next_id, wait_for_locks=True
    )
    for job in jobs:
        assert job.outcome is not None
        assert not isinstance(job.outcome, Exception), job.outcome
    return [job.command_id for job in jobs]


def special_job(
    market: Market,
    account: int,
    side: Side,
    lots: int,
    ticks: int,
    *,
    owner_tag: int = 0,
    type: OrderType = OrderType.LIMIT,
    time_in_force: TimeInForce | None = None,
    post_only: bool = False,
    self_trade: SelfTradePrevention = SelfTradePrevention.CANCEL_INCOMING,
    **terms: Any,
) -> PlaceJob:
    """Return an order with terms; `ticks` is its limit, or the bound of a market order."""
    tif = time_in_force or (TimeInForce.GTD if "expire_ms" in terms else TimeInForce.GTC)
    plain = market.place_job(
        account, side, lots, ticks, type=type, time_in_force=tif, post_only=post_only
    )
    built = Terms(trigger=TRIGGERS[type], **terms) if terms else None
    draft = replace(plain.draft, self_trade=self_trade, terms=built)
    return PlaceJob(
        account_id=market.account_ids[account],
        draft=draft,
        rules=market.rules,
        maker_fee_ppm=MAKER_FEE_PPM,
        taker_fee_ppm=TAKER_FEE_PPM,
        fingerprint="00",
        owner_tag=owner_tag,
    )


def stop_job(market: Market, account: int, side: Side, lots: int, stop_ticks: int) -> PlaceJob:
    """Return a stop-market order whose bound allows every price of these tests."""
    bound = 10_000 if side is Side.BUY else 1
    return special_job(
        market, account, side, lots, bound, type=OrderType.STOP_MARKET, stop_ticks=stop_ticks
    )


def trailing_job(market: Market, account: int, lots: int, trail_ticks: int) -> PlaceJob:
    """Return a trailing stop that sells."""
    return special_job(
        market, account, Side.SELL, lots, 1, type=OrderType.TRAILING_STOP, trail_ticks=trail_ticks
    )


def list_job(market: Market, account: int, kind: ListKind, *places: PlaceJob) -> ListJob:
    """Return a list of these orders, all of one account."""
    return ListJob(account_id=market.account_ids[account], kind=kind, places=places)


def oco_job(market: Market, account: int, lots: int, ticks: int, stop_ticks: int) -> ListJob:
    """Return an OCO that sells: at a limit, or by a stop when the price falls."""
    limit = special_job(market, account, Side.SELL, lots, ticks)
    return list_job(
        market,
        account,
        ListKind.OCO,
        limit,
        stop_job(market, account, Side.SELL, lots, stop_ticks),
    )


def cancel_after_job(market: Market, account: int, due_ms: int) -> CommandJob:
    """Return a cancel-after; a `due_ms` of 0 clears it."""
    return CommandJob(
        CommandKind.CANCEL_AFTER,
        partial(cancel_after_command, account_id=market.account_ids[account], due_ms=due_ms),
        symbol_id=market.symbol_id,
        partition_id=market.partition_id,
        account_id=market.account_ids[account],
    )
