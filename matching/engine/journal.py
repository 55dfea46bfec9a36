"""A row of the journal, which the worker writes and the engine reads."""

from msgspec import Struct

from matching.engine.events import Event
from matching.engine.messages import Command
from matching.engine.versions import RULES_FIRST


class Sequenced(Struct, array_like=True, gc=False):
    """One journal row: a command, its place in the partition's sequence, and its events.

    `rules` is the rules version under which the command was applied (matching/engine/versions.py).
    """

    sequence: int
    command: Command
    events: list[Event]
    rules: int = RULES_FIRST
