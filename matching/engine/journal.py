"""One row of the journal, as the engine reads and the worker writes it."""

from msgspec import Struct

from matching.engine.events import Event
from matching.engine.messages import Command
from matching.engine.versions import RULES_FIRST


class Sequenced(Struct, array_like=True, gc=False):
    """One journal row: a command, its place in the partition's sequence, and what it caused.

    `rules` is the version of the rules that it was applied under (matching/engine/versions.py).
    """

    sequence: int
    command: Command
    events: list[Event]
    rules: int = RULES_FIRST
