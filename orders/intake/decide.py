"""The decisions of one intake batch, in arrival order, from rows read and locked before. No I/O.

Every job ends in one of four ways: accepted (rows and a command), refused (a DomainError),
repeated (answered with the order that its client id already has), or deferred to the next batch.
A job is deferred when a balance it needs is locked, or when another job gave up the claim on its
client id. A list is accepted with all of its orders or with none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from exchange.domain.codes import Code
from exchange.domain.enums import CommandKind, OrderStatus
from exchange.domain.errors import DomainError
from matching.engine.messages import Command
from orders.intake.amends import amend_extra, linked_check, pending_check
from orders.intake.decisions import (
    BatchReads,
    ClientKey,
    Decisions,
    client_key,
    conflict,
    list_conflict,
)
from orders.intake.funds import Deferred, Funds
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
    OrderRow,
    amount_text,
    command_payload,
)
from orders.lifecycle import is_final
from risk.pretrade.rules import open_orders_check


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
