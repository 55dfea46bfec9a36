"""The demonstration's symbols, people, fees and funds: data only."""

from decimal import Decimal
from typing import Any, Final, NamedTuple

from config.demo.generator import MarketShape

PASSWORD: Final = "takas-demo"  # noqa: S105  # public on purpose; demonstrations only
TRADERS: Final = ("ada", "boris", "cem")
STAFF: Final = "admin"
MAKERS: Final = tuple(f"maker-{number}" for number in range(1, 7))

DEFAULT_TIER: Final = "standard"
MAKER_TIER: Final = "market-maker"

# code, name, scale
ASSETS: Final = (
    ("BTC", "Bitcoin", 8),
    ("ETH", "Ether", 8),
    ("USDT", "Tether", 8),
    ("USD", "US dollar", 8),
)

# By tier: maker and taker fee in ppm. None is "any tier".
FEES: Final[dict[str | None, tuple[int, int]]] = {None: (500, 1_000), MAKER_TIER: (0, 400)}

TRADER_FUNDS: Final = {"BTC": Decimal(1), "ETH": Decimal(20), "USDT": Decimal(50_000)}
MAKER_FUNDS: Final = {"BTC": Decimal(500), "ETH": Decimal(8_000), "USDT": Decimal(30_000_000)}


# The generator's price stays within half a percent of its mean, so its own trades never come near
# this band. A visitor who empties one side of a book sees an interruption, a short one.
RULES: Final = {
    "band_ppm": 100_000,
    "interruption_limit_s": 15,
    "interruption_pause_s": 30,
    "interruption_auction_s": 30,
    "open_orders_max": 0,
    "stop_orders_max": 0,
}


class DemoSymbol(NamedTuple):
    """One listed symbol: its columns, and the market that the generator makes on it."""

    code: str
    columns: dict[str, Any]
    shape: MarketShape


def _symbol(code: str, price: str, tick: str, lot: str, size: str, **columns: str) -> DemoSymbol:
    """Limits in quote or base units; tick x lot is a whole number of the quote's atoms."""
    decimals = {name: Decimal(value) for name, value in columns.items()}
    steps = {"tick": Decimal(tick), "lot": Decimal(lot), "quantity_min": Decimal(lot)}
    shape = MarketShape(Decimal(price), Decimal(tick), Decimal(lot), Decimal(size))
    return DemoSymbol(code, {**steps, **decimals, **RULES}, shape)


SYMBOLS: Final = (
    _symbol(
        "BTC-USDT",
        "64000",
        "0.01",
        "0.00001",
        "0.02",
        quantity_max="100",
        notional_min="5",
        price_min="1000",
        price_max="1000000",
    ),
    _symbol(
        "ETH-USDT",
        "3200",
        "0.01",
        "0.0001",
        "0.4",
        quantity_max="2000",
        notional_min="5",
        price_min="10",
        price_max="100000",
    ),
    _symbol(
        "ETH-BTC",
        "0.05",
        "0.000001",
        "0.01",
        "0.5",
        quantity_max="2000",
        notional_min="0.0001",
        price_min="0.001",
        price_max="1",
    ),
)
