"""Compare what was measured with what is committed.

`counts` are the same on every machine: steps of the interpreter, records of the write-ahead log. A
loss of more than 15 % is a change of the code. `times` are processor times in units of other work
that was timed in turns. Beside many busy processes they move by two fifths, so only the double is a
change of the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

STORED: Final = Path(__file__).with_name("gate.json")
LOSS_MAX: Final = {"counts": 0.15, "times": 1.0}
DIGITS_FROM: Final = 1_000

Costs = Mapping[str, Mapping[str, float]]  # kind -> part -> cost


@dataclass(frozen=True, slots=True)
class Comparison:
    """A part's cost, measured and stored. None: not measured, or not stored."""

    kind: str
    part: str
    measured: float | None
    stored: float | None

    @property
    def loss(self) -> float:
        """Return by which share the part costs more than stored; negative where it costs less."""
        if self.measured is None or self.stored is None:
            return 0.0
        return self.measured / self.stored - 1

    @property
    def is_good(self) -> bool:
        """Whether the part was measured, is stored, and lost at most what its kind may."""
        return (
            self.measured is not None
            and self.stored is not None
            and self.loss <= LOSS_MAX[self.kind]
        )

    def line(self) -> str:
        """Return one line of the table."""
        if self.measured is None:
            return f"{self.part:<46} was not measured: NO (make bench-gate UPDATE=1 forgets it)"
        if self.stored is None:
            return (
                f"{self.part:<46} {_text(self.measured):>8} is not stored: NO"
                " (make bench-gate UPDATE=1 stores it)"
            )
        return (
            f"{self.part:<46} {_text(self.measured):>8} stored {_text(self.stored):>8}"
            f" {100 * self.loss:>+6.1f} % {'' if self.is_good else 'NO: it costs more'}"
        ).rstrip()


def _text(cost: float) -> str:
    """Return four digits of a cost, or all before the point."""
    return f"{cost:,.0f}" if cost >= DIGITS_FROM else f"{cost:.4g}"


def compared(measured: Costs, stored: Costs) -> list[Comparison]:
    """Return a comparison for every part of either."""
    return [
        Comparison(kind, part, measured.get(kind, {}).get(part), stored.get(kind, {}).get(part))
        for kind in LOSS_MAX
        for part in {**measured.get(kind, {}), **stored.get(kind, {})}
    ]


def stored_read(path: Path = STORED) -> dict[str, dict[str, float]]:
    """Return the stored costs by kind and part."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, float]])


def stored_write(measured: Costs, path: Path = STORED) -> None:
    """Store these costs in place of all others."""
    rounded = {
        kind: {part: float(f"{cost:.4g}") for part, cost in costs.items()}
        for kind, costs in measured.items()
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rounded), indent=2) + b"\n")
