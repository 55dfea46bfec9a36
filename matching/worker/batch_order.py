"""Dependency order of a batch: arrival order, but an order before the commands about it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from matching.engine.messages import (
    ALL_ACCOUNTS,
    Amend,
    Cancel,
    CancelAfter,
    CancelAll,
    Command,
    Place,
    PlaceList,
    RefuseFaulty,
)

# Commands that other commands depend on: orders, and cancel-afters (the last one set must win).
Entering = Place | PlaceList | RefuseFaulty | CancelAfter
# Commands about all orders of an account that were accepted before the command.
Sweeping = CancelAll | CancelAfter

_ABOUT_OTHERS = frozenset({Cancel, Amend, CancelAll, CancelAfter})


def is_order(command: Command) -> TypeGuard[Place | PlaceList | RefuseFaulty]:
    """Return whether the command enters orders, or refuses an order that made the engine raise."""
    kind = type(command)
    return (
        kind is Place or kind is PlaceList or (type(command) is RefuseFaulty and command.is_place)
    )


def order_ids_of(command: Place | PlaceList | RefuseFaulty) -> tuple[int, ...]:
    """Return the ids of the orders that a command enters or refuses."""
    if isinstance(command, PlaceList):
        return tuple(place.order_id for place in command.orders)
    return (command.order_id,)


def in_dependency_order(commands: Sequence[Command], ahead: Iterable[Entering]) -> list[Command]:
    """Return the commands in order of arrival, but orders before the commands about them.

    `ahead` has commands that did not arrive; each goes right before the first command that needs
    it. A cancel-all is about the orders of its account (or of all accounts) that were accepted
    before. So is a cancel-after, which may be due at once. An older cancel-after of the same owner
    goes first as well, because it must not undo the newer one.
    """
    if not any(type(command) in _ABOUT_OTHERS for command in commands):
        return list(commands)
    waiting: dict[int, Entering] = {}
    for command in (*ahead, *commands):
        if is_order(command) or type(command) is CancelAfter:
            waiting.update(dict.fromkeys(keys_of(command), command))
    ordered: list[Command] = []
    for command in commands:
        if is_order(command) or type(command) is CancelAfter:
            if keys_of(command)[0] not in waiting:
                continue
            _take(command, waiting)
        for key in _needed_by(command, waiting):
            if key in waiting:  # not yet taken with another order of its list
                needed = waiting[key]
                _take(needed, waiting)
                ordered.append(needed)
        ordered.append(command)
    return ordered


def keys_of(command: Entering) -> tuple[int, ...]:
    """Return the keys of a command: the ids of its orders, or a cancel-after's command id."""
    if type(command) is CancelAfter:
        return (command.command_id,)
    assert not isinstance(command, CancelAfter)
    return order_ids_of(command)


def _take(command: Entering, waiting: dict[int, Entering]) -> None:
    for key in keys_of(command):
        waiting.pop(key, None)


def _needed_by(command: Command, waiting: Mapping[int, Entering]) -> list[int]:
    """Return the keys of the commands that have to come before this command, by age."""
    if isinstance(command, Cancel | Amend):
        return [command.order_id]
    if isinstance(command, CancelAll | CancelAfter):
        return sorted(key for key, one in waiting.items() if _is_meant(command, one))
    return []


def _is_meant(command: Sweeping, one: Entering) -> bool:
    """Return whether a sweeping command is about this order, or replaces this cancel-after."""
    if one.symbol_id != command.symbol_id or one.command_id >= command.command_id:
        return False
    if isinstance(one, CancelAfter):
        return isinstance(command, CancelAfter) and _owner_of(one) == _owner_of(command)
    if isinstance(one, RefuseFaulty) or (isinstance(command, CancelAfter) and not command.due_ms):
        return False
    places = one.orders if isinstance(one, PlaceList) else [one]
    return any(
        command.account_id in (ALL_ACCOUNTS, place.account_id)
        and command.owner_tag in (0, place.owner_tag)
        for place in places
    )


def moved_in_time(
    cancel_after: Mapping[tuple[int, int], int], settings: Iterable[CancelAfter], now_ms: int
) -> list[CancelAfter]:
    """Return the settings, by age, that keep due cancel-afters from firing now.

    `cancel_after` has the due time by (account, owner tag). Each returned setting was accepted
    before the cancel-after that it moves was due, so its owner counts on it. A setting that is
    itself due by now is not returned: it stays behind the orders that it is about.
    """
    due = dict(cancel_after)
    moved: dict[tuple[int, int], list[CancelAfter]] = {}
    for command in sorted(settings, key=lambda one: one.command_id):
        owner = _owner_of(command)
        due_ms = due.get(owner)
        if due_ms is None or (due_ms and command.time_ms >= due_ms):
            continue
        due[owner] = command.due_ms  # 0: cleared
        moved.setdefault(owner, []).append(command)
    for commands in moved.values():
        while commands and 0 < commands[-1].due_ms <= now_ms:
            commands.pop()
    return sorted((one for each in moved.values() for one in each), key=lambda one: one.command_id)


def _owner_of(command: Any) -> tuple[int, int]:
    return command.account_id, command.owner_tag


def refusals_of(command: Command) -> list[RefuseFaulty]:
    """Return the commands that refuse a command on which the engine raised before."""
    if is_order(command):
        return [
            RefuseFaulty(order_id, command.time_ms, command.symbol_id, order_id, True)
            for order_id in order_ids_of(command)
        ]
    order_id = getattr(command, "order_id", 0)
    return [RefuseFaulty(command.command_id, command.time_ms, command.symbol_id, order_id, False)]
