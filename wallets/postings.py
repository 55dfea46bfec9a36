"""Balanced lists of postings for each kind of transaction, computed without the database.

A posting changes an account's total of one asset (available plus reserved), in atoms. Reserving
and releasing move money inside one balance and post nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from exchange.domain.enums import EntryKind

# An account and an asset identify a balance.
BalanceKey = tuple[int, int]


class BalanceChange(NamedTuple):
    """What to add to a balance, in atoms of the asset."""

    available_atoms: int
    reserved_atoms: int


class Posting(NamedTuple):
    """One line of a journal: `atoms` of an asset come to an account, or leave it."""

    account_id: int
    asset_id: int
    atoms: int
    kind: EntryKind


def assert_balanced(postings: Iterable[Posting]) -> None:
    """Raise AssertionError unless every asset of one journal sums to zero (L1)."""
    totals: defaultdict[int, int] = defaultdict(int)
    for posting in postings:
        totals[posting.asset_id] += posting.atoms
    for asset_id, atoms in totals.items():
        assert atoms == 0, f"L1: asset {asset_id} is off by {atoms} atoms"


def trade_postings(
    *,
    buyer_id: int,
    seller_id: int,
    house_id: int,
    base_id: int,
    quote_id: int,
    base_atoms: int,
    quote_atoms: int,
    buyer_fee_atoms: int,
    seller_fee_atoms: int,
) -> list[Posting]:
    """Return a trade's postings: base and quote change hands, both sides pay a fee to the house.

    Fees are in quote. The buyer pays its fee on top of the price; the seller's fee is taken from
    the proceeds. A fee of zero has no posting. Buyer and seller may be the same account: a market
    maker may trade with itself.
    """
    assert base_atoms > 0
    assert quote_atoms > 0
    assert buyer_fee_atoms >= 0
    assert 0 <= seller_fee_atoms <= quote_atoms
    trade, fee = EntryKind.TRADE, EntryKind.FEE
    postings = [
        Posting(seller_id, base_id, -base_atoms, trade),
        Posting(buyer_id, base_id, base_atoms, trade),
        Posting(buyer_id, quote_id, -quote_atoms, trade),
        Posting(seller_id, quote_id, quote_atoms, trade),
    ]
    if buyer_fee_atoms:
        postings.append(Posting(buyer_id, quote_id, -buyer_fee_atoms, fee))
    if seller_fee_atoms:
        postings.append(Posting(seller_id, quote_id, -seller_fee_atoms, fee))
    if buyer_fee_atoms or seller_fee_atoms:
        postings.append(Posting(house_id, quote_id, buyer_fee_atoms + seller_fee_atoms, fee))
    assert_balanced(postings)
    return postings


def deposit_postings(
    *, account_id: int, external_id: int, asset_id: int, atoms: int
) -> list[Posting]:
    """Return the postings of a deposit: the external account pays the user's account."""
    assert atoms > 0
    return _transfer(external_id, account_id, asset_id, atoms, EntryKind.DEPOSIT)


def funding_postings(
    *, account_id: int, funding_id: int, asset_id: int, atoms: int
) -> list[Posting]:
    """Return the postings of a credit by staff from the funding account; negative: a debit."""
    assert atoms != 0
    return _transfer(funding_id, account_id, asset_id, atoms, EntryKind.FUNDING)


def _transfer(
    payer_id: int, payee_id: int, asset_id: int, atoms: int, kind: EntryKind
) -> list[Posting]:
    assert payer_id != payee_id
    postings = [
        Posting(payer_id, asset_id, -atoms, kind),
        Posting(payee_id, asset_id, atoms, kind),
    ]
    assert_balanced(postings)
    return postings
