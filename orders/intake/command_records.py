"""From an accepted job that is no new order to its command and its row of orders_command."""

from exchange.domain.enums import CommandKind
from matching.engine.messages import Amend, Command
from orders.commands.build import (
    amend_command,
    cancel_after_command,
    cancel_all_command,
    cancel_command,
    set_state_command,
)
from orders.intake.jobs import AmendJob, CommandJob
from orders.intake.rows import CommandRow, time_text


def command_built(job: CommandJob, symbol_id: int) -> Command:
    """The command of an accepted job; `symbol_id` is its order's where the job names an order."""
    command_id = job.command_id
    if job.command_of is not None:
        command = job.command_of(command_id)
        assert (command.command_id, command.symbol_id) == (command_id, symbol_id)
        return command
    if job.kind is CommandKind.CANCEL:
        assert job.order_id is not None
        return cancel_command(command_id=command_id, symbol_id=symbol_id, order_id=job.order_id)
    if job.kind is CommandKind.SET_STATE:
        return set_state_command(command_id=command_id, symbol_id=symbol_id, state=job.state)
    assert job.account_id is not None
    if job.kind is CommandKind.CANCEL_ALL:
        return cancel_all_command(
            command_id=command_id,
            symbol_id=symbol_id,
            account_id=job.account_id,
            side=job.side,
            owner_tag=job.owner_tag,
        )
    assert job.kind is CommandKind.CANCEL_AFTER
    return cancel_after_command(
        command_id=command_id,
        symbol_id=symbol_id,
        account_id=job.account_id,
        due_ms=job.due_ms,
        owner_tag=job.owner_tag,
    )


def command_row(job: CommandJob, symbol_id: int, partition_id: int, payload: bytes) -> CommandRow:
    """The row of an accepted command."""
    return CommandRow(
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


def amend_built(job: AmendJob) -> Amend:
    """The command of an accepted amend."""
    return amend_command(
        command_id=job.command_id,
        symbol_id=job.rules.units.symbol_id,
        order_id=job.order_id,
        price_ticks=job.price_ticks,
        quantity_lots=job.quantity_lots,
        keep_priority=job.keep_priority,
        stop_ticks=job.stop_ticks,
        display_lots=job.display_lots,
    )


def amend_row(job: AmendJob, payload: bytes, extra: str) -> CommandRow:
    """The row of an accepted amend; `extra` is what it reserves on top."""
    return CommandRow(
        job.command_id,
        job.rules.partition_id,
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
