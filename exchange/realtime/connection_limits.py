"""How many sockets one process holds: in all, of strangers, of a network and of a user.

Who is signed in takes a place of their own and none of their network's: strangers behind the same
address cannot shut them out, nor take all places of the process.
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
class Place:
    """One socket's place; `user_id` is None for a stranger."""

    network: str
    user_id: int | None


class Places:
    """The places of one process. Everything happens on one event loop: no locks."""

    def __init__(self) -> None:
        self._places: set[Place] = set()
        self.strangers: Counter[str] = Counter()  # by network
        self.users: Counter[int] = Counter()
        self.handshakes = LocalBuckets(now_ms)

    def __len__(self) -> int:
        return len(self._places)

    def handshake_refused(self, network: str) -> bool:
        """Count a handshake; whether there were too many."""
        return self.handshakes.take(network, HANDSHAKES, 1).wait_ms > 0

    def refusal(self, network: str, user_id: int | None) -> CloseCode | None:
        """Why there is no place for such a socket; None: there is one."""
        if len(self._places) >= SOCKETS_MAX:
            return CloseCode.FULL
        if user_id is not None:
            has_room = self.users[user_id] < SOCKETS_PER_USER_MAX
            return None if has_room else CloseCode.TOO_MANY_SOCKETS
        if self.strangers.total() >= STRANGERS_MAX:
            return CloseCode.FULL
        has_room = self.strangers[network] < SOCKETS_PER_NETWORK_MAX
        return None if has_room else CloseCode.TOO_MANY_SOCKETS

    def enter(self, network: str, user_id: int | None) -> Place:
        """Take a place that `refusal` said there is."""
        place = Place(network, user_id)
        self._places.add(place)
        self._count(place, 1)
        return place

    def sign_in(self, place: Place, user_id: int) -> bool:
        """The stranger in this place turned out to be a user; False when they have too many."""
        if self.users[user_id] >= SOCKETS_PER_USER_MAX:
            return False
        self._count(place, -1)
        place.user_id = user_id
        self._count(place, 1)
        return True

    def leave(self, place: Place) -> None:
        """The socket is gone."""
        if place in self._places:
            self._places.discard(place)
            self._count(place, -1)

    def _count(self, place: Place, by: int) -> None:
        if place.user_id is None:
            self.strangers[place.network] += by
            if not self.strangers[place.network]:
                del self.strangers[place.network]
        else:
            self.users[place.user_id] += by
            if not self.users[place.user_id]:
                del self.users[place.user_id]


places: Final = Places()
