"""What a piece of work costs, as a count: the same number on every machine, however busy.

Counted are the interpreter's instructions, and for a method of a list that has to go through it
(`remove`, `insert` and their kind) as many steps as the list is long.
"""

import sys
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

WALKING: Final = {"remove", "insert", "index", "count", "sort", "copy", "reverse"}


class _Counter:
    """Counts by being the interpreter's tracer and profiler."""

    def __init__(self) -> None:
        self.steps = 0

    def trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            self.steps += 1
        return self.trace

    def profile(self, _frame: FrameType, event: str, function: Any) -> None:
        if event != "c_call":
            return
        owner, name = getattr(function, "__self__", None), function.__name__
        if isinstance(owner, list | deque) and name in WALKING:
            self.steps += len(owner)


def steps_of(work: Callable[[], object]) -> int:
    """Do the work; return how many steps it took."""
    counter = _Counter()
    tracer, profiler = sys.gettrace(), sys.getprofile()
    sys.setprofile(counter.profile)
    sys.settrace(counter.trace)
    try:
        work()
    finally:
        sys.settrace(tracer)
        sys.setprofile(profiler)
    return counter.steps
