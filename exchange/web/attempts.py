"""How often a sign-in may fail before it has to wait. Bounded memory, one web process."""

import threading
from collections import OrderedDict
from typing import Final

WINDOW_S: Final = 300.0
FAILURES_MAX: Final = 5  # a name from one address
ADDRESS_FAILURES_MAX: Final = 40  # an address over all names
KEYS_MAX: Final = 20_000


class FailedAttempts:
    """Counts failures per key in a fixed window that begins with the first failure."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()

    def wait_s(self, username: str, address: str, now_s: float) -> int:
        """Seconds until another attempt is allowed; 0: now."""
        with self._lock:
            waits = [
                self._wait_s((username.lower(), address), FAILURES_MAX, now_s),
                self._wait_s((address,), ADDRESS_FAILURES_MAX, now_s),
            ]
        return max(waits)

    def failed(self, username: str, address: str, now_s: float) -> None:
        with self._lock:
            for key in ((username.lower(), address), (address,)):
                began_s, count = self._windows.pop(key, (now_s, 0))
                if now_s - began_s >= WINDOW_S:
                    began_s, count = now_s, 0
                self._windows[key] = (began_s, count + 1)
            while len(self._windows) > KEYS_MAX:
                self._windows.popitem(last=False)

    def succeeded(self, username: str, address: str) -> None:
        with self._lock:
            self._windows.pop((username.lower(), address), None)

    def _wait_s(self, key: tuple[str, ...], failures_max: int, now_s: float) -> int:
        began_s, count = self._windows.get(key, (now_s, 0))
        left_s = began_s + WINDOW_S - now_s
        return max(1, round(left_s)) if count >= failures_max and left_s > 0 else 0
