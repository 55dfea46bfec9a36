"""Commands and journal rows as MessagePack bytes.

Structs are arrays on the wire, led by their tag. A field that is appended with a default keeps old
bytes readable; a field is never reordered, removed or given another meaning.

MessagePack integers end at 64 bits: a value beyond raises OverflowError on encoding, so symbol
rules must bound prices, quantities and budgets well below 2**63.
"""

import msgspec

from matching.engine.journal import Sequenced
from matching.engine.messages import Command

_encoder = msgspec.msgpack.Encoder()
_command_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_journal_decoder = msgspec.msgpack.Decoder(list[Sequenced])


def encode_command(command: Command) -> bytes:
    """Return the bytes of one command."""
    return _encoder.encode(command)


def decode_command(data: bytes) -> Command:
    """Return the command in `data`. Raises msgspec.DecodeError if it holds none."""
    return _command_decoder.decode(data)


def encode_journal(rows: list[Sequenced]) -> bytes:
    """Return the bytes of a batch of journal rows."""
    return _encoder.encode(rows)


def decode_journal(data: bytes) -> list[Sequenced]:
    """Return the rows in `data`. Raises msgspec.DecodeError if it holds anything else."""
    return _journal_decoder.decode(data)
