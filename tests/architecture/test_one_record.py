"""One record of an order's terms: a rare term is named in at most twelve files (docs/adr/0034).

Counted are Python files without tests and migrations, by the names that a term has as a column and
in the engine. A thirteenth file copies by hand what Terms or the table of columns could give it.
"""

import re
from typing import Final

import pytest

from tests.architecture.test_tables import ROOT, SOURCES

FILES_MAX: Final = 12
TERMS: Final = {
    "displayed quantity": ("display_quantity", "display_lots"),
    "activation price": ("activation_price", "activation_ticks"),
}


@pytest.mark.parametrize("names", TERMS.values(), ids=TERMS)
def test_few_files_name_a_rare_term(names: tuple[str, ...]) -> None:
    word = re.compile(rf"\b(?:{'|'.join(names)})\b")
    naming = [str(path) for path in SOURCES if word.search((ROOT / path).read_text())]
    assert "orders/commands/columns.py" in naming
    assert len(naming) <= FILES_MAX, naming
