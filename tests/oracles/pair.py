"""Apply the same commands to the engine, the rules oracle and the referee, and compare."""

from matching.engine import messages as m
from matching.engine.core import Engine
from matching.state.codec import decode_command, encode_command
from tests.oracles.referee import Referee
from tests.oracles.rules.auction import outcome
from tests.oracles.rules.market import GATHERING
from tests.oracles.rules.oracle import Oracle

SHOWN = 5  # events of each in a message


class Differs(AssertionError):
    """The events of the engine are not those of the rules."""


class Judges:
    """The rules oracle, which expects events, and the referee, which forbids some."""

    def __init__(self) -> None:
        self.oracle, self.referee = Oracle(), Referee()

    def judge(self, engine: Engine, command: m.Command, told: list[m.Event]) -> None:
        """Raise AssertionError unless `told` are the events that the rules give for the command."""
        expected = self.oracle.apply(decode_command(encode_command(command)))
        if told != expected:
            raise Differs(difference(command, told, expected))
        self.referee.judge(command, told)
        self.compare_indication(engine, command.symbol_id)

    def compare_indication(self, engine: Engine, symbol: int) -> None:
        """Compare the indicative price, volume and surplus of an auction (21.6)."""
        market = self.oracle.market(symbol)
        if market.state not in GATHERING:
            return
        found, seen = outcome(market), engine.indication(symbol)
        if tuple(seen) != (found.price, found.lots, found.surplus):
            raise Differs(f"21.6: the engine shows {seen}, the rules give {found}")


class Beside:
    """An engine with its judges."""

    def __init__(self) -> None:
        self.engine, self.judges = Engine(), Judges()

    def apply(self, command: m.Command) -> list[m.Event]:
        """Apply one command and its continuations; raise AssertionError on a difference."""
        told = self.engine.apply(decode_command(encode_command(command)))
        while self.engine.needs_continue(command.symbol_id):
            told += self.engine.apply(m.Continue(0, command.time_ms, command.symbol_id))
        told = [event for event in told if type(event) is not m.ContinueNeeded]
        self.judges.judge(self.engine, command, told)
        return told


def difference(command: m.Command, told: list[m.Event], expected: list[m.Event]) -> str:
    """Describe the first differing event, and the events that follow on each side."""
    pairs = enumerate(zip(told, expected, strict=False))
    shortest = min(len(told), len(expected))
    first = next((place for place, (ours, rules) in pairs if ours != rules), shortest)
    lines = [f"{command}", f"  the first {first} events are the same; then"]
    for name, events in (("engine", told), ("rules", expected)):
        lines += [f"  {name}: {event}" for event in events[first : first + SHOWN]] or [
            f"  {name}: -"
        ]
    return "\n".join(lines)
