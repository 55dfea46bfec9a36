"""Forms of the texts that requests carry: regular expressions without anchors, and lengths.

Validation and the API's description use the same forms.
"""

from typing import Annotated, Final

from msgspec import Meta

# At most what NUMERIC(38,18) holds. No sign, exponent, NaN or digit of another script can match.
DECIMAL: Final = r"(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,18})?"
DECIMAL_LENGTH_MAX: Final = 39
# The type of a decimal in the structs of requests. The form is described, and not checked by the
# decoder: validation refuses with codes of its own.
DecimalText = Annotated[
    str,
    Meta(
        description="Decimal in plain notation, as a string.",
        extra_json_schema={"pattern": f"^(?:{DECIMAL})$", "maxLength": DECIMAL_LENGTH_MAX},
    ),
]
# No leading zero: one moment has one spelling in milliseconds.
UNIX_MS: Final = r"0|[1-9][0-9]{0,13}"
RFC_3339: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
TIME_LENGTH_MAX: Final = 35
CLIENT_ORDER_ID: Final = r"[A-Za-z0-9._:-]{1,64}"
ID: Final = r"[0-9]{1,19}"
SYMBOL: Final = r"[A-Z0-9]{2,12}-[A-Z0-9]{2,12}"
SYMBOL_LENGTH_MAX: Final = 25
KEY: Final = r"[A-Za-z0-9_-]{8,40}"
