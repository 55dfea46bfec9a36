"""Compare measured ratios with the committed ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

STORED: Final = Path(__file__).with_name("gate.json")
LOSS_MAX: Final = 0.15


@dataclass(frozen=True, slots=True)
class Comparison:
    """A part's ratio, measured and stored; a ratio is a cost. None: not measured, or not stored."""

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
        """Whether the part was measured, is stored, and lost at most LOSS_MAX."""
        return self.measured is not None and self.stored is not None and self.loss <= LOSS_MAX

    def line(self) -> str:
        """Return one line of the table."""
        if self.measured is None:
            return f"{self.part:<42} was not measured: NO (make bench-gate UPDATE=1 forgets it)"
        if self.stored is None:
            return (
                f"{self.part:<42} {self.measured:>9.4f} is not stored: NO"
                " (make bench-gate UPDATE=1 stores it)"
            )
        return (
            f"{self.part:<42} {self.measured:>9.4f} stored {self.stored:>9.4f}"
            f" {100 * self.loss:>+6.1f} % {'' if self.is_good else 'NO: it costs more'}"
        ).rstrip()


def compared(measured: Mapping[str, float], stored: Mapping[str, float]) -> list[Comparison]:
    """Return a comparison for every part of either."""
    return [
        Comparison(part, measured.get(part), stored.get(part)) for part in {**measured, **stored}
    ]


def stored_read(path: Path = STORED) -> dict[str, float]:
    """Return the stored ratios by part."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, float])


def stored_write(measured: Mapping[str, float], path: Path = STORED) -> None:
    """Store these ratios in place of all others."""
    rounded = {part: float(f"{ratio:.4g}") for part, ratio in measured.items()}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rounded), indent=2) + b"\n")
