"""Decimals in frames: exactly those of the exact conversion."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from exchange.domain.ids import time_ms_text
from exchange.domain.units import SymbolUnits, plain
from exchange.realtime.frames import (
    SymbolText,
    decode_frames,
    depth_delta,
    encode_frames,
)

STEPS = ["0.01", "0.05", "0.000100000000000000", "1", "25", "1E+2"]


def units(tick: str, lot: str) -> SymbolUnits:
    return SymbolUnits.build(
        symbol_id=1,
        code="BTC-USDT",
        base_asset_id=1,
        quote_asset_id=2,
        base_scale=8,
        quote_scale=8,
        tick=Decimal(tick),
        lot=Decimal(lot),
    )


@given(tick=st.sampled_from(STEPS), lot=st.sampled_from(STEPS), count=st.integers(0, 10**18))
def test_text_equals_the_exact_decimal(tick: str, lot: str, count: int) -> None:
    one = units(tick, lot)
    text = SymbolText(one)
    assert text.price(count) == plain(one.price(count))
    assert text.quantity(count) == plain(one.quantity(count))
    assert text.quote(count) == plain(one.quote_decimal(count * one.quote_atoms_per_ticklot))


def test_a_delta_reads_as_documented() -> None:
    topic, body = depth_delta(
        SymbolText(units("0.01", "0.0001")),
        sequence=12,
        time=time_ms_text(1_767_225_600_007),
        bids=[(10_000, 15_000)],
        asks=[(10_001, 0)],
    )
    assert topic == "BTC-USDT@depth"
    assert msgspec.json.decode(body) == {
        "channel": "BTC-USDT@depth",
        "type": "delta",
        "sequence": 12,
        "previous": 11,
        "time": "2026-01-01T00:00:00.007Z",
        "bids": [["100", "1.5"]],
        "asks": [["100.01", "0"]],
    }


def test_frames_travel_as_one_message() -> None:
    frames = [("a", b"{}"), ("account:7", b'{"x":1}')]
    assert decode_frames(encode_frames(frames)) == frames
