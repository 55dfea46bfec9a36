"""A test of an order: everything is checked that needs no lock, and nothing changes."""

from typing import NamedTuple

from exchange.access.principals import Principal
from exchange.domain.units import atoms_to_decimal, plain
from exchange.infra.lookups import here_or_thread
from orders.validation.requests import OrderRequest
from orders.writes.orders import account_of, order_job


class Reserves(NamedTuple):
    """What an order would reserve: an asset's code, and a decimal amount of it as text."""

    asset: str
    amount: str


async def order_test(principal: Principal, request: OrderRequest) -> Reserves:
    """Return what the order would reserve.

    Raises the first refusal that a placement raises before it locks anything. What only locked
    rows tell is not asked: funds, open orders, and whether the client order id is in use.
    """
    return await here_or_thread(_reserves, principal, request)


def _reserves(principal: Principal, request: OrderRequest) -> Reserves:
    account_of(principal)
    job = order_job(principal, request)
    amount = atoms_to_decimal(job.reservation_atoms, job.reserved_scale)
    return Reserves(job.rules.units.asset_code(job.reserved_asset_id), plain(amount))
