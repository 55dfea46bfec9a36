"""wallets.postings: every journal balances, whatever the amounts (L1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.enums import EntryKind
from wallets.postings import (
    Posting,
    assert_balanced,
    deposit_postings,
    trade_postings,
)

ATOMS = st.integers(1, 10**38)
BUYER, SELLER, HOUSE, BASE, QUOTE = 1, 2, 3, 10, 20


def totals(postings):
    found: dict[tuple[int, int], int] = {}
    for account_id, asset_id, atoms, _ in postings:
        found[account_id, asset_id] = found.get((account_id, asset_id), 0) + atoms
    return found


@given(ATOMS, ATOMS, st.integers(0, 10**30), st.data())
def test_trade_gives_each_side_its_due(base, quote, buyer_fee, data):
    seller_fee = data.draw(st.integers(0, quote))
    postings = trade_postings(
        buyer_id=BUYER,
        seller_id=SELLER,
        house_id=HOUSE,
        base_id=BASE,
        quote_id=QUOTE,
        base_atoms=base,
        quote_atoms=quote,
        buyer_fee_atoms=buyer_fee,
        seller_fee_atoms=seller_fee,
    )
    assert_balanced(postings)
    found = totals(postings)
    assert found[BUYER, BASE] == base
    assert found[SELLER, BASE] == -base
    assert found[BUYER, QUOTE] == -quote - buyer_fee
    assert found[SELLER, QUOTE] == quote - seller_fee
    assert found.get((HOUSE, QUOTE), 0) == buyer_fee + seller_fee
    assert all(posting.atoms for posting in postings), "lines of zero are left out"
    assert len(postings) == 4 + bool(buyer_fee) + bool(seller_fee) + bool(buyer_fee + seller_fee)


@given(ATOMS)
def test_deposit_comes_from_outside(atoms):
    postings = deposit_postings(account_id=1, external_id=2, asset_id=BASE, atoms=atoms)
    assert totals(postings) == {(1, BASE): atoms, (2, BASE): -atoms}


@given(st.integers(-5, 5).filter(bool))
def test_unbalanced_postings_crash(excess):
    lines = [
        Posting(1, BASE, -7, EntryKind.TRADE),
        Posting(2, BASE, 7 + excess, EntryKind.TRADE),
    ]
    with pytest.raises(AssertionError, match="L1"):
        assert_balanced(lines)


def test_assets_do_not_make_up_for_each_other():
    lines = [Posting(1, BASE, -7, EntryKind.TRADE), Posting(2, QUOTE, 7, EntryKind.TRADE)]
    with pytest.raises(AssertionError, match="L1"):
        assert_balanced(lines)
