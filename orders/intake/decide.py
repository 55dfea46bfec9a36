"""The decisions of one intake batch, in arrival order, over what was read and locked. No I/O.

Every job ends in one of four ways: accepted (rows and a command), refused (a DomainError),
repeated (the order that its client id already has), or deferred to the next batch, because a
balance it needs is locked or because the claim it lost to was given up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from exchange.domain.codes import Code
from exchange.domain.enums import CommandKind, OrderStatus, OrderType
from exchange.domain.errors import DomainError
from exchange.domain.units import atoms_to_decimal, decimal_to_atoms, plain
from matching.messages import Command
from orders.commands import (
    amend_command,
    cancel_after_command,
    cancel_all_command,
    cancel_command,
    set_state_command,
)
from orders.intake.jobs import SIDE_CODES, Accepted, AmendJob, CommandJob, Job, PlaceJob, Replayed
from orders.intake.rows import (
    AmendHoldRow,
    ClaimRow,
    CommandRow,
    OrderRow,
    TakenRow,
    amount_text,
    command_payload,
    order_row,
    place_of,
    time_text,
)
from orders.lifecycle import is_final
from orders.validation import notional_check
from risk.rules import open_orders_check
from wallets.fees import amend_extra_atoms

Entry = tuple[int, bytes]  # partition id, encoded command
ClientKey = tuple[int, str]
AssetKey = tuple[int, int]


@dataclass(slots=True)
class Fund:
    """A locked balance: what it can spend, and what this batch takes of it, in atoms."""

    balance_id: int
    available_atoms: int
    scale: int
    taken_atoms: int = 0


@dataclass(slots=True)
class Known:
    """What a batch has read; the balances and reservations in it are locked."""

    claimed: set[int] = field(default_factory=set)  # ids of orders whose claim is new
    available: dict[AssetKey, tuple[int, Decimal]] = field(default_factory=dict)
    busy: set[AssetKey] = field(default_factory=set)  # balances that exist but were not locked
    open_orders: dict[tuple[int, int], int] = field(default_factory=dict)
    orders: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    reservations: dict[int, int | None] = field(default_factory=dict)  # pending amend by order


@dataclass(slots=True)
class Decisions:
    """What a batch writes and answers. Outcomes take effect when the commit has happened."""

    outcomes: list[tuple[Job, Accepted | Replayed | DomainError]] = field(default_factory=list)
    deferred: list[Job] = field(default_factory=list)
    repeated: list[PlaceJob] = field(default_factory=list)  # answered by an order in the database
    entries: list[Entry] = field(default_factory=list)
    orders: list[OrderRow] = field(default_factory=list)
    commands: list[CommandRow] = field(default_factory=list)
    amend_holds: list[AmendHoldRow] = field(default_factory=list)
    unclaims: list[ClaimRow] = field(default_factory=list)
    taken: list[TakenRow] = field(default_factory=list)


class _Deferred(Exception):
    """The job has to wait for the next batch."""


def client_key(job: PlaceJob) -> ClientKey:
    """What its order is known by to its client."""
    return job.account_id, job.draft.client_order_id


def conflict() -> DomainError:
    """The refusal of a client order id that belongs to an order with other parameters."""
    return DomainError(Code.ORDER_CLIENT_ID_CONFLICT, field="client_order_id")


def decide(jobs: Sequence[Job], known: Known) -> Decisions:
    """Decide every job in arrival order."""
    batch = _Batch(known)
    for job in jobs:
        if isinstance(job, PlaceJob):
            batch.place(job)
        else:
            batch.command(job)
    decisions = batch.decisions
    decisions.taken = [
        TakenRow(fund.balance_id, amount_text(fund.taken_atoms, fund.scale))
        for fund in batch.funds.values()
        if fund.taken_atoms
    ]
    return decisions


class _Batch:
    """The running state of one batch: funds shrink, claims and open orders grow."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.decisions = Decisions()
        self.funds: dict[AssetKey, Fund] = {}
        self.leaders: dict[ClientKey, tuple[PlaceJob, OrderRow | DomainError | None]] = {}
        self.amending: set[int] = set()

    def place(self, job: PlaceJob) -> None:
        key = client_key(job)
        if key in self.leaders:
            self._follow(job, *self.leaders[key])
            return
        self.leaders[key] = (job, None)
        if job.command_id not in self.known.claimed:
            self.decisions.repeated.append(job)
            return
        try:
            row = self._accept(job)
        except (DomainError, _Deferred) as refusal:
            if isinstance(refusal, DomainError):
                self.leaders[key] = (job, refusal)
            self.decisions.unclaims.append(ClaimRow(*key))
            self._not_taken(job, refusal)
            return
        self.leaders[key] = (job, row)
        self.decisions.orders.append(row)
        self.decisions.entries.append((job.rules.partition_id, command_payload(place_of(job))))
        self.decisions.outcomes.append((job, Accepted(row.id, row.columns())))

    def command(self, job: Job) -> None:
        order: Mapping[str, Any] | None
        try:
            if isinstance(job, AmendJob):
                command, order = self._amend(job)
            else:
                assert isinstance(job, CommandJob)
                command, order = self._simple(job)
        except (DomainError, _Deferred) as refusal:
            self._not_taken(job, refusal)
            return
        self.decisions.outcomes.append((job, Accepted(command.command_id, order)))

    def _not_taken(self, job: Job, why: DomainError | _Deferred) -> None:
        if isinstance(why, DomainError):
            self.decisions.outcomes.append((job, why))
        else:
            self.decisions.deferred.append(job)

    def _follow(self, job: PlaceJob, leader: PlaceJob, fate: OrderRow | DomainError | None) -> None:
        """A second request under one client id in the same batch."""
        same = job.fingerprint == leader.fingerprint
        if isinstance(fate, OrderRow):
            outcome = Replayed(fate.columns()) if same else conflict()
            self.decisions.outcomes.append((job, outcome))
        elif isinstance(fate, DomainError) and same:
            self.decisions.outcomes.append((job, fate))  # the same request, the same answer
        elif leader in self.decisions.repeated:
            self.decisions.repeated.append(job)
        else:  # the leader was refused or deferred: its claim is given up, this one may have it
            self.decisions.deferred.append(job)

    def _accept(self, job: PlaceJob) -> OrderRow:
        symbol_key = (job.account_id, job.draft.symbol_id)
        if job.open_orders_max:
            open_orders = self.known.open_orders[symbol_key]
            open_orders_check(open_orders, job.open_orders_max, job.rules.units.code)
        self._reserve(job.account_id, job.hold_asset_id, job.hold_atoms, job.hold_scale, job)
        if job.open_orders_max:
            self.known.open_orders[symbol_key] += 1
        return order_row(job)

    def _reserve(
        self, account_id: int, asset_id: int, atoms: int, scale: int, job: PlaceJob | AmendJob
    ) -> None:
        """Take atoms of a locked balance, or say why not. Nothing is taken on refusal."""
        key = (account_id, asset_id)
        fund = self.funds.get(key)
        if fund is None:
            if key in self.known.busy:
                raise _Deferred
            balance_id, available = self.known.available.get(key, (0, Decimal(0)))
            fund = Fund(balance_id, decimal_to_atoms(available, scale), scale)
            self.funds[key] = fund
        left_atoms = fund.available_atoms - fund.taken_atoms
        if left_atoms < atoms:
            units = job.rules.units
            base, _, quote = units.code.partition("-")
            raise DomainError(
                Code.FUNDS_INSUFFICIENT,
                needed=plain(atoms_to_decimal(atoms, scale)),
                available=plain(atoms_to_decimal(left_atoms, scale)),
                asset=quote if asset_id == units.quote_asset_id else base,
            )
        fund.taken_atoms += atoms

    def _simple(self, job: CommandJob) -> tuple[Command, Mapping[str, Any] | None]:
        order: Mapping[str, Any] | None = None
        command: Command
        partition_id, symbol_id = job.partition_id, job.symbol_id
        if job.kind is CommandKind.CANCEL:
            assert job.order_id is not None
            order = self._live_order(job.order_id, job.account_id)
            symbol_id = order["symbol_id"]
            partition_id = order["partition_id"]
            command = cancel_command(
                command_id=job.command_id, symbol_id=symbol_id, order_id=job.order_id
            )
        elif job.kind is CommandKind.CANCEL_ALL:
            assert job.account_id is not None
            command = cancel_all_command(
                command_id=job.command_id,
                symbol_id=symbol_id,
                account_id=job.account_id,
                side=job.side,
                owner_tag=job.owner_tag,
            )
        elif job.kind is CommandKind.CANCEL_AFTER:
            assert job.account_id is not None
            command = cancel_after_command(
                command_id=job.command_id,
                symbol_id=symbol_id,
                account_id=job.account_id,
                due_ms=job.due_ms,
                owner_tag=job.owner_tag,
            )
        elif job.command_of is not None:
            command = job.command_of(job.command_id)
            assert (command.command_id, command.symbol_id) == (job.command_id, symbol_id)
        else:
            command = set_state_command(
                command_id=job.command_id, symbol_id=symbol_id, state=job.state
            )
        payload = command_payload(command)
        self.decisions.entries.append((partition_id, payload))
        self.decisions.commands.append(
            CommandRow(
                job.command_id,
                partition_id,
                job.kind,
                symbol_id,
                job.account_id,
                job.order_id,
                payload.hex(),
                job.requested_by,
                job.note,
                time_text(job.command_id),
            )
        )
        return command, order

    def _live_order(self, order_id: int, account_id: int | None) -> Mapping[str, Any]:
        """The order, if it is this account's and can still change. None means any account."""
        order = self.known.orders.get(order_id)
        if order is None or account_id not in (None, order["account_id"]):
            raise DomainError(Code.ORDER_NOT_FOUND)
        status = OrderStatus(order["status"])
        if is_final(status):
            raise DomainError(Code.ORDER_NOT_OPEN, order_status=status.value)
        return order

    def _amend(self, job: AmendJob) -> tuple[Command, Mapping[str, Any]]:
        order = self._live_order(job.order_id, job.account_id)
        # A live order always has a reservation: one that was not found is locked by settlement.
        if job.order_id not in self.known.reservations:
            raise _Deferred
        if self.known.reservations[job.order_id] is not None or job.order_id in self.amending:
            raise DomainError(Code.ORDER_AMEND_PENDING)
        extra_atoms = amend_extra(job, order)
        scale = self._scale(job)
        if extra_atoms:
            self._reserve(job.account_id, job.hold_asset_id, extra_atoms, scale, job)
        self.amending.add(job.order_id)
        command = amend_command(
            command_id=job.command_id,
            symbol_id=order["symbol_id"],
            order_id=job.order_id,
            price_ticks=job.price_ticks,
            quantity_lots=job.quantity_lots,
            keep_priority=job.keep_priority,
            stop_ticks=job.stop_ticks,
            display_lots=job.display_lots,
        )
        self._amend_rows(job, command_payload(command), amount_text(extra_atoms, scale))
        return command, order

    def _scale(self, job: AmendJob) -> int:
        units = job.rules.units
        is_quote = job.hold_asset_id == units.quote_asset_id
        return units.quote_scale if is_quote else units.base_scale

    def _amend_rows(self, job: AmendJob, payload: bytes, extra: str) -> None:
        partition_id = job.rules.partition_id
        self.decisions.entries.append((partition_id, payload))
        self.decisions.amend_holds.append(AmendHoldRow(job.order_id, job.command_id, extra))
        self.decisions.commands.append(
            CommandRow(
                job.command_id,
                partition_id,
                CommandKind.AMEND,
                job.rules.units.symbol_id,
                job.account_id,
                job.order_id,
                payload.hex(),
                None,
                "",
                time_text(job.command_id),
                extra,
            )
        )


def amend_extra(job: AmendJob, order: Mapping[str, Any]) -> int:
    """Atoms to reserve for an amend of this order, whatever fills before it; or a DomainError."""
    units = job.rules.units
    if order["type"] == OrderType.MARKET:  # it never rests: the engine would find it ended
        raise DomainError(Code.ORDER_NOT_OPEN, order_status=order["status"])
    price_ticks = units.price_ticks(order["price"])
    quantity_lots = units.quantity_lots(order["quantity"])
    filled_lots = units.quantity_lots(order["filled"])
    new_price_ticks = job.price_ticks or price_ticks
    new_quantity_lots = job.quantity_lots or quantity_lots
    if new_quantity_lots <= filled_lots:
        raise DomainError(Code.ORDER_AMEND_BELOW_FILLED, field="quantity")
    if job.keep_priority and (new_price_ticks != price_ticks or new_quantity_lots >= quantity_lots):
        raise DomainError(Code.ORDER_PRIORITY_NEEDS_REDUCTION, field="keep_priority")
    notional_check(new_price_ticks, new_quantity_lots, job.rules)
    return amend_extra_atoms(
        SIDE_CODES[job.side],
        filled_lots=filled_lots,
        price_ticks=price_ticks,
        quantity_lots=quantity_lots,
        new_price_ticks=new_price_ticks,
        new_quantity_lots=new_quantity_lots,
        units=units,
        taker_fee_ppm=order["taker_fee_ppm"],
    )
