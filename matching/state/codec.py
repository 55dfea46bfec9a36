"""Commands and journal rows as MessagePack bytes.

A struct is an array that begins with its tag. A new field is appended with a default, which keeps
old bytes readable; no field is ever reordered, removed or given another meaning.

MessagePack integers have at most 64 bits: encoding a greater value raises OverflowError, so symbol
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
