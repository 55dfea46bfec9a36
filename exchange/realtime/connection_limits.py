"""Limits on the sockets of one process: in all, of strangers, of a network and of a user.

A signed-in user's socket counts for the user and not for its network: strangers behind the same
address cannot shut users out, nor take all slots of the process.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.throttling import now_ms
from exchange.realtime.protocol import CloseCode

SOCKETS_MAX: Final = 5_000  # in one process
STRANGERS_MAX: Final = 4_000  # of SOCKETS_MAX, sockets without a login
SOCKETS_PER_NETWORK_MAX: Final = 200  # counts strangers only
SOCKETS_PER_USER_MAX: Final = 50
HANDSHAKES: Final = Rate(per_second=20, burst=400)  # of a network; each may read a session
FIRST_SUBSCRIPTION_S: Final = 30.0  # a stranger's socket without one is closed then


@dataclass(eq=False, slots=True)
class SocketSlot:
    """One socket's slot; `user_id` is None for a stranger."""

    network: str
    user_id: int | None


class SocketSlots:
    """The slots of one process. All calls come from one event loop, so there are no locks."""

    def __init__(self) -> None:
        self._slots: set[SocketSlot] = set()
        self.strangers: Counter[str] = Counter()  # by network
        self.users: Counter[int] = Counter()
        self.handshakes = LocalBuckets(now_ms)

    def __len__(self) -> int:
        return len(self._slots)

    def handshake_refused(self, network: str) -> bool:
        """Count a handshake; return whether its network made too many."""
        return self.handshakes.take(network, HANDSHAKES, 1).wait_ms > 0

    def refusal(self, network: str, user_id: int | None) -> CloseCode | None:
        """Return why such a socket gets no slot; None where it gets one."""
        if len(self._slots) >= SOCKETS_MAX:
            return CloseCode.FULL
        if user_id is not None:
            has_room = self.users[user_id] < SOCKETS_PER_USER_MAX
            return None if has_room else CloseCode.TOO_MANY_SOCKETS
        if self.strangers.total() >= STRANGERS_MAX:
            return CloseCode.FULL
        has_room = self.strangers[network] < SOCKETS_PER_NETWORK_MAX
        return None if has_room else CloseCode.TOO_MANY_SOCKETS

    def enter(self, network: str, user_id: int | None) -> SocketSlot:
        """Take a slot; the caller has seen that `refusal` is None."""
        slot = SocketSlot(network, user_id)
        self._slots.add(slot)
        self._count(slot, 1)
        return slot

    def sign_in(self, slot: SocketSlot, user_id: int) -> bool:
        """Give a stranger's slot to the user who logged in; False where the user has too many."""
        if self.users[user_id] >= SOCKETS_PER_USER_MAX:
            return False
        self._count(slot, -1)
        slot.user_id = user_id
        self._count(slot, 1)
        return True

    def leave(self, slot: SocketSlot) -> None:
        """Free the slot of a socket that is gone."""
        if slot in self._slots:
            self._slots.discard(slot)
            self._count(slot, -1)

    def _count(self, slot: SocketSlot, by: int) -> None:
        if slot.user_id is None:
            self.strangers[slot.network] += by
            if not self.strangers[slot.network]:
                del self.strangers[slot.network]
        else:
            self.users[slot.user_id] += by
            if not self.users[slot.user_id]:
                del self.users[slot.user_id]


slots: Final = SocketSlots()
