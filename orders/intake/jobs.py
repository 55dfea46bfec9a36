"""The jobs of intake and their outcomes. A job is one client's request.

A job carries everything that was decided before it was queued; a batch sets its `outcome`.
Money is in atoms, prices in ticks, quantities in lots.
"""

import _thread
import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from msgspec import Struct, field

from exchange.domain.codes import Code
from exchange.domain.enums import LIMIT_TYPES, CommandKind, ListKind, Side
from exchange.domain.errors import DomainError
from exchange.domain.symbol_rules import SymbolRules
from exchange.infra.event_loop import deadline_set, results_give
from matching.engine.messages import Command
from orders.commands.build import cancel_command
from orders.validation.amends import AmendTerms
from risk.pretrade.drafts import OrderDraft
from wallets.fees import BUY, SELL, reservation_atoms, reservation_for_quote_amount

SIDE_CODES: Final = {Side.BUY: BUY, Side.SELL: SELL}
ANSWER_S: Final = 8.0  # a caller waits so long: after that the outcome is unknown


class Accepted(Struct, frozen=True):
    """A durable request. `order` has the columns of orders_order, or is None for a cancel-all."""

    command_id: int
    order: Mapping[str, Any] | None


class Replayed(Struct, frozen=True):
    """A repeated request: `order` was accepted earlier and is given as it stands now."""

    order: Mapping[str, Any]


class AcceptedList(Struct, frozen=True):
    """A durable list of orders; `orders` are their rows, in the list's order."""

    list_id: int
    kind: ListKind
    orders: Sequence[Mapping[str, Any]]
    is_replay: bool = False  # accepted by an earlier request


Outcome = Accepted | AcceptedList | Replayed | Exception


def _lock_held() -> _thread.LockType:
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


class Job(Struct, eq=False, kw_only=True):
    """Base of all jobs: the outcome, the thread or loop that waits for it, and the deadline.

    These fields are set when the job is made or later, never by who makes it.
    """

    outcome: Outcome | None = None
    # By partition, the sequence to settle before a refusal is final (intake/deferred).
    settled_at: Mapping[int, int] | None = None
    command_id: int = 0
    deferrals: int = 0
    expires_at: float = 0.0
    # None unless an event loop waits.
    future: asyncio.Future[Outcome] | None = None
    # A bare lock as a one-shot event: a tenth of the cost of threading.Event.
    _done: _thread.LockType = field(default_factory=_lock_held)

    def resolve(self) -> None:
        """Wake the waiting thread; `outcome` must be set and will not change."""
        assert self.outcome is not None
        self._done.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` seconds; return whether the outcome is there."""
        return self._done.acquire(timeout=timeout_s)

    def is_expired(self) -> bool:
        """Return whether the client has stopped waiting, so that the job must not begin."""
        return bool(self.expires_at) and time.monotonic() > self.expires_at


class PlaceJob(Job, eq=False, kw_only=True):
    """Enter an order, with its draft, its fixed fee rates and its reservation.

    `group_id` is the user's account group and `owner_tag` the API key, 0 for none.
    """

    account_id: int
    draft: OrderDraft
    rules: SymbolRules
    maker_fee_ppm: int
    taker_fee_ppm: int
    fingerprint: str
    open_orders_max: int = 0
    group_id: int = 0
    owner_tag: int = 0
    reserved_asset_id: int = 0
    reserved_scale: int = 0
    reservation_atoms: int = 0

    def __post_init__(self) -> None:
        assert self.draft.price_ticks > 0
        units = self.rules.units
        if self.draft.side is Side.BUY:
            self.reserved_asset_id = units.quote_asset_id
            self.reserved_scale = units.quote_scale
        else:
            self.reserved_asset_id = units.base_asset_id
            self.reserved_scale = units.base_scale
        self.reservation_atoms = order_reservation_atoms(self.draft, self.rules, self.taker_fee_ppm)

    @property
    def is_market(self) -> bool:
        """Return whether the order trades as a market order, at once or when it is triggered."""
        return self.draft.type not in LIMIT_TYPES


def order_reservation_atoms(draft: OrderDraft, rules: SymbolRules, taker_fee_ppm: int) -> int:
    """Return the atoms to reserve for a new order: quote asset for a buy, base for a sell."""
    if draft.quote_atoms:
        return reservation_for_quote_amount(draft.quote_atoms, taker_fee_ppm=taker_fee_ppm)
    return reservation_atoms(
        SIDE_CODES[draft.side],
        draft.quantity_lots,
        draft.price_ticks,
        rules.units,
        0,
        taker_fee_ppm,
    )


class ListJob(Job, eq=False, kw_only=True):
    """Enter linked orders, all or none; a parent stands first.

    The fingerprint of each order covers the whole list and its place in it.
    """

    account_id: int
    kind: ListKind
    places: list[PlaceJob]

    def __post_init__(self) -> None:
        places = self.places
        assert len(places) == (3 if self.kind is ListKind.OTOCO else 2)
        assert {(place.account_id, place.draft.symbol_id) for place in places} == {
            (self.account_id, places[0].draft.symbol_id)
        }
        assert len({place.draft.client_order_id for place in places}) == len(places)

    @property
    def parent(self) -> PlaceJob | None:
        """The order that the other orders wait for; None in an OCO."""
        return None if self.kind is ListKind.OCO else self.places[0]

    @property
    def children(self) -> list[PlaceJob]:
        """The orders that wait for the parent."""
        return [] if self.kind is ListKind.OCO else self.places[1:]

    @property
    def pair(self) -> list[PlaceJob]:
        """The two orders that cancel each other; empty in an OTO."""
        if self.kind is ListKind.OTO:
            return []
        return self.places[-2:]


class Build(Protocol):
    """A function that builds a command from its id and its symbol."""

    def __call__(self, *, command_id: int, symbol_id: int) -> Command: ...


class CommandJob(Job, eq=False):
    """Send a command that reserves nothing: a cancel, a cancel-after or a market setting.

    `build` is a function of orders/commands/build.py with all other arguments bound; it is called
    once the command's id and symbol are known. A cancel names only an order; its symbol and
    partition are read with the order.
    """

    kind: CommandKind
    build: Build
    symbol_id: int = 0
    partition_id: int = 0
    account_id: int | None = None
    order_id: int | None = None
    requested_by: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        assert self.kind is not CommandKind.AMEND
        assert (self.kind is CommandKind.CANCEL) == (self.order_id is not None)
        assert self.order_id is not None or self.symbol_id


def cancel_job(
    order_id: int, *, account_id: int | None = None, requested_by: int | None = None
) -> CommandJob:
    """Return the job that cancels one order; `account_id` None allows any account's order."""
    return CommandJob(
        CommandKind.CANCEL,
        partial(cancel_command, order_id=order_id),
        account_id=account_id,
        order_id=order_id,
        requested_by=requested_by,
    )


class AmendJob(Job, eq=False, kw_only=True):
    """Give an order new terms; a term of 0 stays as it is."""

    account_id: int
    order_id: int
    side: Side
    rules: SymbolRules
    terms: AmendTerms
    keep_priority: bool = False
    reserved_asset_id: int = 0

    def __post_init__(self) -> None:
        assert any(self.terms)
        units = self.rules.units
        is_buy = self.side is Side.BUY
        self.reserved_asset_id = units.quote_asset_id if is_buy else units.base_asset_id


def outcomes_of(jobs: Sequence[Job]) -> list[Outcome]:
    """Wait for the outcomes of queued jobs; engine.outcome_unknown for those that do not come."""
    ends_s = time.monotonic() + ANSWER_S
    return [
        _outcome(job) if job.wait(max(0.0, ends_s - time.monotonic())) else _unknown()
        for job in jobs
    ]


async def outcomes_on_loop(jobs: Sequence[Job]) -> list[Outcome]:
    """Do the same for jobs with futures, without blocking the event loop."""
    futures = [job.future for job in jobs if job.future is not None]
    assert len(futures) == len(jobs)
    for future in futures:
        deadline_set(future, ANSWER_S)
    outcomes: list[Outcome] = []
    for future in futures:
        try:
            outcomes.append(await future)
        except TimeoutError:
            outcomes.append(_unknown())
    return outcomes


def _outcome(job: Job) -> Outcome:
    assert job.outcome is not None
    return job.outcome


def accepted(outcome: Outcome) -> Accepted | AcceptedList | Replayed:
    """Return an outcome that is no refusal, else raise it."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _unknown() -> DomainError:
    return DomainError(Code.ENGINE_OUTCOME_UNKNOWN)


def answer(job: Job, outcome: Outcome) -> None:
    """Give a job its outcome and wake its caller."""
    job.outcome = outcome
    resolve([job])


def resolve(jobs: Sequence[Job]) -> None:
    """Wake the callers that wait for these jobs; wake an event loop once for all its jobs."""
    for job in jobs:
        if job.future is None:
            job.resolve()
    results_give((job.future, job.outcome) for job in jobs if job.future is not None)
