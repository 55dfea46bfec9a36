"""The decisions of one intake batch, in arrival order, from rows read and locked before. No I/O.

Every job ends in one of four ways: accepted (rows and a command), refused (a DomainError),
repeated (answered with the order that its client id already has), or deferred to the next batch.
A job is deferred when a balance it needs is locked, or when another job gave up the claim on its
client id. A list is accepted with all of its orders or with none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from exchange.domain.codes import Code
from exchange.domain.enums import CommandKind, OrderStatus
from exchange.domain.errors import DomainError
from matching.engine.messages import Command
from orders.intake.amends import Linked, Reserved, amend_extra, linked_check, pending_check
from orders.intake.funds import AssetKey, Deferred, Funds
from orders.intake.jobs import (
    Accepted,
    AcceptedList,
    AmendJob,
    CommandJob,
    Job,
    ListJob,
    PlaceJob,
    Replayed,
)
from orders.intake.records import (
    amend_built,
    amend_row,
    command_built,
    command_row,
    list_row,
    list_rows,
    order_row,
    place_list_of,
    place_of,
)
from orders.intake.reservations import is_covered, list_atoms
from orders.intake.rows import (
    AmendReservationRow,
    ClaimRow,
    CommandRow,
    ListRow,
    OrderRow,
    TakenRow,
    amount_text,
    command_payload,
)
from orders.lifecycle import is_final
from risk.pretrade.rules import open_orders_check

StreamEntry = tuple[int, bytes]  # partition id, encoded command
ClientKey = tuple[int, str]


@dataclass(slots=True)
class BatchReads:
    """The rows that a batch has read; its balances and reservations are locked."""

    claimed: set[int] = field(default_factory=set)  # ids of orders whose claim is new
    available: dict[AssetKey, tuple[int, Decimal]] = field(default_factory=dict)
    busy: set[AssetKey] = field(default_factory=set)  # balances that exist but were not locked
    barred: set[int] = field(default_factory=set)  # accounts that may only cancel
    open_orders: dict[tuple[int, int], int] = field(default_factory=dict)
    orders: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    reservations: dict[int, Reserved] = field(default_factory=dict)
    linked: dict[int, Linked] = field(default_factory=dict)  # lists, by each amended order in one


@dataclass(slots=True)
class Decisions:
    """The rows and answers of a batch. Outcomes are given after the commit."""

    outcomes: list[tuple[Job, Accepted | AcceptedList | Replayed | DomainError]] = field(
        default_factory=list
    )
    deferred: list[Job] = field(default_factory=list)
    # Jobs that are answered with orders in the database.
    repeated: list[PlaceJob | ListJob] = field(default_factory=list)
    entries: list[StreamEntry] = field(default_factory=list)
    orders: list[OrderRow] = field(default_factory=list)  # plain ones
    special_orders: list[OrderRow] = field(default_factory=list)  # with terms, or of a list
    lists: list[ListRow] = field(default_factory=list)
    commands: list[CommandRow] = field(default_factory=list)
    amend_reservations: list[AmendReservationRow] = field(default_factory=list)
    unclaims: list[ClaimRow] = field(default_factory=list)
    taken: list[TakenRow] = field(default_factory=list)


def client_key(job: PlaceJob) -> ClientKey:
    """Return the key that is unique to a client's order: account id and client order id."""
    return job.account_id, job.draft.client_order_id


def conflict(field: str = "client_order_id") -> DomainError:
    """Return the refusal of a client order id that an order with other parameters has."""
    return DomainError(Code.ORDER_CLIENT_ID_CONFLICT, field=field)


def list_conflict(index: int) -> DomainError:
    """Return the same refusal for the order at `index` of a list."""
    return conflict(f"orders.{index}.client_order_id")


def decide(jobs: Sequence[Job], known: BatchReads) -> Decisions:
    """Decide every job in arrival order."""
    batch = _Batch(known)
    for job in jobs:
        if isinstance(job, PlaceJob):
            batch.place(job)
        elif isinstance(job, ListJob):
            batch.place_list(job)
        else:
            batch.command(job)
    batch.decisions.taken = batch.funds.taken()
    return batch.decisions


# The result of a batch's first job with a client id; None: repeated or deferred.
Fate = OrderRow | DomainError | None


class _Batch:
    """The running state of one batch: funds shrink, and open orders are counted up."""

    def __init__(self, known: BatchReads) -> None:
        self.known = known
        self.decisions = Decisions()
        self.funds = Funds(known.available, known.busy)
        self.leaders: dict[ClientKey, tuple[PlaceJob, ListJob | None, Fate]] = {}
        self.amending: set[int] = set()

    def place(self, job: PlaceJob) -> None:
        key = client_key(job)
        if key in self.leaders:
            self._follow(job, *self.leaders[key])
            return
        self.leaders[key] = (job, None, None)
        if job.command_id not in self.known.claimed:
            self.decisions.repeated.append(job)
            return
        try:
            self._take([job], job.reservation_atoms)
        except (DomainError, Deferred) as refusal:
            if isinstance(refusal, DomainError):
                self.leaders[key] = (job, None, refusal)
            self.decisions.unclaims.append(ClaimRow(*key))
            self._not_taken(job, refusal)
            return
        row = order_row(job)
        self.leaders[key] = (job, None, row)
        is_plain = job.draft.terms is None
        orders = self.decisions.orders if is_plain else self.decisions.special_orders
        orders.append(row)
        self.decisions.entries.append((job.rules.partition_id, command_payload(place_of(job))))
        self.decisions.outcomes.append((job, Accepted(row.id, row.columns())))

    def place_list(self, job: ListJob) -> None:
        keys = [client_key(place) for place in job.places]
        new = [place.command_id in self.known.claimed for place in job.places]
        led = [self.leaders[key] for key in keys if key in self.leaders]
        try:
            if led:
                self._follow_list(job, led)
                return
            if not any(new):
                self._lead(job, None)
                self.decisions.repeated.append(job)
                return
            if not all(new):
                raise list_conflict(new.index(False))
            self._accept_list(job)
        except (DomainError, Deferred) as refusal:
            if not led:
                self._lead(job, refusal if isinstance(refusal, DomainError) else None)
            self.decisions.unclaims += [
                ClaimRow(*key) for key, is_new in zip(keys, new, strict=True) if is_new
            ]
            self._not_taken(job, refusal)

    def _accept_list(self, job: ListJob) -> None:
        assert is_covered(job), "what the parent brings in pays for what waits for it"
        self._take(job.places, list_atoms(job))
        rows = list_rows(job)
        for place, row in zip(job.places, rows, strict=True):
            self.leaders[client_key(place)] = (place, job, row)
        self.decisions.lists.append(list_row(job))
        self.decisions.special_orders += rows
        payload = command_payload(place_list_of(job))
        self.decisions.entries.append((job.places[0].rules.partition_id, payload))
        accepted = AcceptedList(job.command_id, job.kind, [row.columns() for row in rows])
        self.decisions.outcomes.append((job, accepted))

    def _lead(self, job: ListJob, fate: Fate) -> None:
        for place in job.places:
            self.leaders[client_key(place)] = (place, job, fate)

    def command(self, job: Job) -> None:
        order: Mapping[str, Any] | None
        try:
            if isinstance(job, AmendJob):
                command, order = self._amend(job)
            else:
                assert isinstance(job, CommandJob)
                command, order = self._simple(job)
        except (DomainError, Deferred) as refusal:
            self._not_taken(job, refusal)
            return
        self.decisions.outcomes.append((job, Accepted(command.command_id, order)))

    def _not_taken(self, job: Job, why: DomainError | Deferred) -> None:
        if isinstance(why, DomainError):
            self.decisions.outcomes.append((job, why))
        else:
            self.decisions.deferred.append(job)

    def _follow(self, job: PlaceJob, leader: PlaceJob, of_list: ListJob | None, fate: Fate) -> None:
        """Decide a later request with a client id that an earlier job of the batch has."""
        same = job.fingerprint == leader.fingerprint
        if isinstance(fate, OrderRow):
            outcome = Replayed(fate.columns()) if same else conflict()
            self.decisions.outcomes.append((job, outcome))
        elif isinstance(fate, DomainError) and same:
            self.decisions.outcomes.append((job, fate))  # the same request, the same answer
        elif (of_list or leader) in self.decisions.repeated:
            self.decisions.repeated.append(job)
        else:  # the leader gave up its claim: this job may claim the id in the next batch
            self.decisions.deferred.append(job)

    def _follow_list(
        self, job: ListJob, led: Sequence[tuple[PlaceJob, ListJob | None, Fate]]
    ) -> None:
        """Decide a list that shares client ids with an earlier job of the batch.

        The same request gets the same answer. Any other list is deferred to the next batch, where
        the earlier job's outcome is known. Raises Deferred.
        """
        _, leader, fate = led[0]
        if leader is None or fingerprints(leader) != fingerprints(job):
            raise Deferred
        if leader in self.decisions.repeated:
            self.decisions.repeated.append(job)
        elif isinstance(fate, DomainError):
            self.decisions.outcomes.append((job, fate))
        elif isinstance(fate, OrderRow):
            orders = [one.columns() for _, _, one in led if isinstance(one, OrderRow)]
            assert len(orders) == len(job.places)
            replayed = AcceptedList(leader.command_id, job.kind, orders, is_replay=True)
            self.decisions.outcomes.append((job, replayed))
        else:
            raise Deferred

    def _take(self, places: Sequence[PlaceJob], atoms: int) -> None:
        """Reserve for new orders of one account and symbol. Takes nothing when this raises."""
        job = places[0]
        self._barred_check(job.account_id)
        symbol_key = (job.account_id, job.draft.symbol_id)
        if job.open_orders_max:
            open_orders = self.known.open_orders[symbol_key] + len(places) - 1
            open_orders_check(open_orders, job.open_orders_max, job.rules.units.code)
        self.funds.reserve(
            job.account_id, job.reserved_asset_id, atoms, job.reserved_scale, job.rules.units
        )
        if job.open_orders_max:
            self.known.open_orders[symbol_key] += len(places)

    def _barred_check(self, account_id: int) -> None:
        if account_id in self.known.barred:
            raise DomainError(Code.ACCOUNT_SUSPENDED)

    def _simple(self, job: CommandJob) -> tuple[Command, Mapping[str, Any] | None]:
        order: Mapping[str, Any] | None = None
        partition_id, symbol_id = job.partition_id, job.symbol_id
        if job.kind is CommandKind.CANCEL:
            assert job.order_id is not None
            order = self._live_order(job.order_id, job.account_id)
            symbol_id = order["symbol_id"]
            partition_id = order["partition_id"]
        command = command_built(job, symbol_id)
        payload = command_payload(command)
        self.decisions.entries.append((partition_id, payload))
        self.decisions.commands.append(command_row(job, symbol_id, partition_id, payload))
        return command, order

    def _live_order(self, order_id: int, account_id: int | None) -> Mapping[str, Any]:
        """Return the order if the account (None: any) has it and it is not final, else raise."""
        order = self.known.orders.get(order_id)
        if order is None or account_id not in (None, order["account_id"]):
            raise DomainError(Code.ORDER_NOT_FOUND)
        status = OrderStatus(order["status"])
        if is_final(status):
            raise DomainError(Code.ORDER_NOT_OPEN, order_status=status.value)
        return order

    def _amend(self, job: AmendJob) -> tuple[Command, Mapping[str, Any]]:
        order = self._live_order(job.order_id, job.account_id)
        self._barred_check(job.account_id)
        amended_id = pending_check(job.order_id, self.known.reservations)
        if amended_id in self.amending:
            raise DomainError(Code.ORDER_AMEND_PENDING)
        reserved = self.known.reservations[job.order_id]
        linked_check(reserved, self.known.linked.get(job.order_id))
        extra_atoms = amend_extra(job, order)
        units = job.rules.units
        is_quote = job.reserved_asset_id == units.quote_asset_id
        scale = units.quote_scale if is_quote else units.base_scale
        if extra_atoms:
            self.funds.reserve(job.account_id, job.reserved_asset_id, extra_atoms, scale, units)
        self.amending.add(amended_id)
        command = amend_built(job)
        payload, extra = command_payload(command), amount_text(extra_atoms, scale)
        self.decisions.entries.append((job.rules.partition_id, payload))
        self.decisions.amend_reservations.append(
            AmendReservationRow(job.order_id, job.command_id, extra)
        )
        self.decisions.commands.append(amend_row(job, payload, extra))
        return command, order


def fingerprints(job: ListJob) -> list[tuple[str, str]]:
    """Return the client id and fingerprint of each order, equal for requests of one list."""
    return [(place.draft.client_order_id, place.fingerprint) for place in job.places]
