"""The initial reservations of a list's orders. What can only happen once is reserved once.

All of them are of one asset. An order that the parent pays for reserves nothing yet. The two orders
of a pool share one reservation of the larger need; settlement may find it on either row.
"""

from dataclasses import dataclass

from orders.intake.jobs import SIDE_CODES, ListJob, PlaceJob
from wallets.fees import brings_min_atoms, is_funded, pool_atoms


@dataclass(frozen=True, slots=True)
class InitialReservation:
    """One order's reservation at acceptance, in atoms of the asset that the order pays with."""

    atoms: int
    pool_id: int | None = None
    funded_by: int | None = None
    left_lots: int | None = None


def list_reservations(job: ListJob) -> list[InitialReservation]:
    """Return the reservations of a list's orders, in order. List and orders must have ids."""
    parent, pair = job.parent, job.pair
    pool_id = job.command_id
    reservations: list[InitialReservation] = []
    pooled_atoms = pool_atoms(place.reservation_atoms for place in pair) if pair else 0
    for place in job.places:
        is_pooled = place in pair
        funded = parent is not None and place is not parent and is_paid_by(parent, place)
        atoms = place.reservation_atoms
        if is_pooled:  # the whole shared reservation is on the first row
            atoms = pooled_atoms if place is pair[0] else 0
        reservations.append(
            InitialReservation(
                0 if funded else atoms,
                pool_id if is_pooled else None,
                parent.command_id if parent is not None and funded else None,
                place.draft.quantity_lots if is_pooled or funded else None,
            )
        )
    return reservations


def list_atoms(job: ListJob) -> int:
    """Return the atoms a list reserves at acceptance, of the asset its first order pays with."""
    return sum(reservation.atoms for reservation in list_reservations(job))


def is_paid_by(parent: PlaceJob, child: PlaceJob) -> bool:
    """Whether the parent's fills bring in the asset that the child pays with."""
    return is_funded(SIDE_CODES[parent.draft.side], SIDE_CODES[child.draft.side])


def brought_in_atoms(parent: PlaceJob) -> int:
    """Return the least atoms of the other asset that the parent brings in once filled."""
    draft = parent.draft
    return brings_min_atoms(
        SIDE_CODES[draft.side],
        draft.quantity_lots,
        draft.price_ticks,
        parent.rules.units,
        parent.taker_fee_ppm,
    )


def is_covered(job: ListJob) -> bool:
    """Whether the parent brings in enough for the orders that it pays for."""
    parent = job.parent
    if parent is None:
        return True
    needs = [one.reservation_atoms for one in job.children if is_paid_by(parent, one)]
    return not needs or pool_atoms(needs) <= brought_in_atoms(parent)
