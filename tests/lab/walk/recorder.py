"""Record which functions of the product run, in every thread, in the order of first entry."""

import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[3]
PACKAGES: Final = ("adminpanel", "config", "exchange", "matching", "orders", "risk", "wallets")
_PREFIXES: Final = tuple(f"{ROOT / package}/" for package in PACKAGES)


class Recorder:
    """A profiler of this thread and of all threads started after `watch`.

    It leaves out code that an import runs (modules, bodies of classes), and code generated at run
    time, such as a dataclass's `__init__`, which has no file.
    """

    def __init__(self) -> None:
        self.functions: dict[str, list[str]] = {}  # by file
        self._known: set[CodeType] = set()
        self._is_on = False

    def watch(self) -> None:
        """Profile this thread, and all threads started from now on."""
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the functions that run inside the block."""
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False

    def _profile(self, frame: FrameType, event: str, _arg: Any) -> None:
        if not self._is_on:
            return
        if event == "call" and frame.f_back is not None:
            self._note(frame.f_back.f_code)  # the caller may have begun before recording
        self._note(frame.f_code)

    def _note(self, code: CodeType) -> None:
        if code in self._known:
            return
        self._known.add(code)
        if code.co_flags & inspect.CO_OPTIMIZED and code.co_filename.startswith(_PREFIXES):
            path = str(Path(code.co_filename).relative_to(ROOT))
            self.functions.setdefault(path, []).append(code.co_qualname)
