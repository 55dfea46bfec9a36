"""How many sockets one process holds: in all, of strangers, of a network and of a user.

Who is signed in takes a slot of their own and none of their network's: strangers behind the same
address cannot shut them out, nor take all slots of the process.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from exchange.infra.buckets import LocalBuckets, Rate
from exchange.infra.throttling import now_ms
from exchange.realtime.protocol import CloseCode

SOCKETS_MAX: Final = 5_000  # a process
STRANGERS_MAX: Final = 4_000  # of these, sockets that nobody signed in on
SOCKETS_PER_NETWORK_MAX: Final = 200  # of strangers
SOCKETS_PER_USER_MAX: Final = 50
HANDSHAKES: Final = Rate(per_second=20, burst=400)  # a network: each reads a session, if it has one
FIRST_SUBSCRIPTION_S: Final = 30.0  # a stranger who subscribes to nothing is let go after this


@dataclass(eq=False, slots=True)
class SocketSlot:
    """One socket's slot; `user_id` is None for a stranger."""

    network: str
    user_id: int | None


class SocketSlots:
    """The slots of one process. Everything happens on one event loop: no locks."""

    def __init__(self) -> None:
        self._slots: set[SocketSlot] = set()
        self.strangers: Counter[str] = Counter()  # by network
        self.users: Counter[int] = Counter()
        self.handshakes = LocalBuckets(now_ms)

    def __len__(self) -> int:
        return len(self._slots)

    def handshake_refused(self, network: str) -> bool:
        """Count a handshake; whether there were too many."""
        return self.handshakes.take(network, HANDSHAKES, 1).wait_ms > 0

    def refusal(self, network: str, user_id: int | None) -> CloseCode | None:
        """Why there is no slot for such a socket; None: there is one."""
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
        """Take a slot that `refusal` said there is."""
        slot = SocketSlot(network, user_id)
        self._slots.add(slot)
        self._count(slot, 1)
        return slot

    def sign_in(self, slot: SocketSlot, user_id: int) -> bool:
        """The stranger in this slot turned out to be a user; False when they have too many."""
        if self.users[user_id] >= SOCKETS_PER_USER_MAX:
            return False
        self._count(slot, -1)
        slot.user_id = user_id
        self._count(slot, 1)
        return True

    def leave(self, slot: SocketSlot) -> None:
        """The socket is gone."""
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
