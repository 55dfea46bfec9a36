"""Run public conformance files: `python -m tests.lab.engine.conformance FILE.bin[.xz] ...`.

Prints, per file, the messages a second that the engine applied and the SHA-256 of its report
stream. A file is processed in batches, so its length does not matter.

Timed: `Engine.apply` over decoded commands, one call a message, with every event kept until its
batch is reported, and the look-up of the open quantity for a modify. Not timed: reading and
decoding the file, splitting it at modifies, and writing the report. The cycle collector is off
meanwhile, as in the worker: the engine makes no reference cycles.
"""

import gc
import hashlib
import lzma
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from matching.engine.core import Engine
from matching.engine.messages import (
    BUY,
    GTC,
    IOC,
    SELL,
    STP_NONE,
    Amend,
    Cancel,
    Command,
    CommandRefused,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    Place,
    Trade,
)

_HEADER: Final = struct.Struct("<QII")
_RECORD: Final = struct.Struct("<BBBxIQQqq")
_MAGIC: Final = 0x4D4542575F303031
_VERSION: Final = 1
_NEW, _CANCEL, _MODIFY = range(3)
# Bounds the memory of a run: it keeps the events of this many messages at a time.
MESSAGES_PER_BATCH_MAX: Final = 250_000

# The files have one symbol and one user, so self-trade prevention is off.
_SYMBOL_ID: Final = 1
_ACCOUNT_ID: Final = 1


class ConformanceError(Exception):
    """The file is not in the format, or has a value outside it."""


class Result(NamedTuple):
    """The result of one file; `sha256` is of the report stream."""

    messages: int
    trades: int
    seconds: float
    sha256: str


def commands_read(
    file: BinaryIO, batch_max: int = MESSAGES_PER_BATCH_MAX
) -> Iterator[list[Command]]:
    """Yield the file's messages as commands, in batches. Raises ConformanceError."""
    header = file.read(_HEADER.size)
    if len(header) != _HEADER.size:
        raise ConformanceError("the file is shorter than its header")
    magic, version, count = _HEADER.unpack(header)
    if (magic, version) != (_MAGIC, _VERSION):
        raise ConformanceError(f"unknown magic or version: {magic:#x}, {version}")
    while count > 0:
        wanted = min(count, batch_max)
        data = file.read(wanted * _RECORD.size)
        if len(data) != wanted * _RECORD.size:
            raise ConformanceError(f"the file ends {count} messages early or inside one")
        yield [_command(*record) for record in _RECORD.iter_unpack(data)]
        count -= wanted


def _command(
    kind: int,
    side: int,
    ioc: int,
    quantity: int,
    seq: int,
    order_id: int,
    price: int,
    _: int,
) -> Command:
    """Return the engine's command for one record; its `command_id` is the record's seq."""
    if kind == _CANCEL:
        return Cancel(seq, 0, _SYMBOL_ID, order_id)
    if kind not in (_NEW, _MODIFY) or side not in (BUY, SELL) or price <= 0 or quantity <= 0:
        raise ConformanceError(f"message {seq} has a value outside the format")
    if kind == _MODIFY:
        # The record has the open quantity; `_run` turns it into a total before it is applied.
        return Amend(seq, 0, _SYMBOL_ID, order_id, price, quantity)
    tif = IOC if ioc else GTC
    return Place(
        seq,
        0,
        _SYMBOL_ID,
        order_id,
        _ACCOUNT_ID,
        side,
        price,
        quantity,
        tif,
        self_trade=STP_NONE,
    )


def _run(engine: Engine, commands: list[Command]) -> tuple[list[list[Event]], float]:
    """Apply the commands; return the events of each, and the seconds that this took."""
    stretches = list(_stretches(commands))
    apply = engine.apply
    outcomes: list[list[Event]] = []
    started = time.perf_counter()
    for plain, amend in stretches:
        outcomes += [apply(command) for command in plain]
        if amend is not None:
            # The format gives the new open quantity, an amend the new total.
            order = engine.books[_SYMBOL_ID].orders.get(amend.order_id)
            if order is not None:
                amend.quantity_lots += order.quantity_lots - order.left_lots
            outcomes.append(apply(amend))
    return outcomes, time.perf_counter() - started


def _stretches(commands: list[Command]) -> Iterator[tuple[list[Command], Amend | None]]:
    """Split the commands at amends; yield the commands before each amend, and the amend."""
    plain: list[Command] = []
    for command in commands:
        if type(command) is Amend:
            yield plain, command
            plain = []
        else:
            plain.append(command)
    yield plain, None


def _report(command: Command, event: Event) -> tuple[int, str]:
    """Return the report's type and its line."""
    seq = command.command_id
    match event:
        case OrderAccepted():
            terms = f"{event.order_id},{event.price_ticks},{event.quantity_lots}"
            return 0, f"0,{seq},{event.side},{terms}"
        case Trade():
            terms = f"{event.price_ticks},{event.quantity_lots}"
            return 1, f"1,{seq},{terms},{event.maker_order_id},{event.taker_order_id}"
        case OrderCancelled():
            return 2, f"2,{seq},{event.side},{event.order_id},{event.price_ticks}"
        case OrderAmended():
            terms = f"{event.order_id},{event.price_ticks},{event.left_lots}"
            return 3, f"3,{seq},{event.side},{terms}"
        case CommandRefused():
            kind = 4 if type(command) is Cancel else 5
            return kind, f"{kind},{seq},{event.order_id}"
        case _:
            raise ConformanceError(f"message {seq}: the format has no report for {event}")


def _reports(commands: list[Command], outcomes: list[list[Event]]) -> Iterator[str]:
    """Yield the report lines in the format's order: by seq, by type, then in engine order."""
    for command, events in zip(commands, outcomes, strict=True):
        reports = [_report(command, event) for event in events]
        reports.sort(key=itemgetter(0))
        for _, line in reports:
            yield line


def conform(path: Path, batch_max: int = MESSAGES_PER_BATCH_MAX) -> Result:
    """Run one file, `batch_max` messages at a time.

    Raises ConformanceError, OSError, lzma.LZMAError, EOFError.
    """
    engine = Engine()
    engine.book(_SYMBOL_ID)
    digest = hashlib.sha256()
    messages = trades = 0
    seconds = 0.0
    last_seq = -1
    separator = ""
    with _opened(path) as file:
        for commands in commands_read(file, batch_max):
            last_seq = _checked_last_seq(commands, last_seq)
            with _collector_off():
                outcomes, batch_seconds = _run(engine, commands)
            seconds += batch_seconds
            for line in _reports(commands, outcomes):
                digest.update(f"{separator}{line}".encode())
                separator = "\n"
            messages += len(commands)
            trades += sum(type(event) is Trade for events in outcomes for event in events)
    return Result(messages, trades, seconds, digest.hexdigest())


def _checked_last_seq(commands: list[Command], last_seq: int) -> int:
    """Return the last seq. Raises ConformanceError unless the seq of messages increases."""
    for command in commands:
        if command.command_id <= last_seq:
            raise ConformanceError(f"message {command.command_id} is out of order")
        last_seq = command.command_id
    return last_seq


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".xz":
        return cast(BinaryIO, lzma.open(path))
    return path.open("rb")


@contextmanager
def _collector_off() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def main(arguments: list[str]) -> int:
    """Print the results of the given files; return the exit code."""
    if not arguments:
        sys.stderr.write("usage: python -m tests.lab.engine.conformance FILE.bin[.xz] ...\n")
        return 2
    out = sys.stdout
    out.write("timed: Engine.apply over decoded commands, all events kept; cycle collector off\n")
    for argument in arguments:
        try:
            result = conform(Path(argument))
        except (ConformanceError, OSError, lzma.LZMAError, EOFError) as error:
            sys.stderr.write(f"{argument}: {error}\n")
            return 1
        speed = result.messages / result.seconds if result.seconds else 0
        out.write(f"{argument}: {result.messages} messages, {result.trades} trades\n")
        out.write(f"{speed:.0f} messages/s\n")
        out.write(f"{result.sha256}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
