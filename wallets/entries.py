"""Write ledger entries: one COPY for all entries of a transaction.

COPY is one statement, so the trigger that refuses an unbalanced journal sees all of its entries.
"""

from collections.abc import Iterable, Mapping

import psycopg

from exchange.infra.database import process_ids
from wallets.postings import Posting

ENTRIES_COPY = "COPY wallets_entry (id, journal_id, account_id, asset_id, amount, kind) FROM STDIN"


def entries_write(
    connection: psycopg.Connection,
    journals: Iterable[tuple[int, Iterable[Posting]]],
    scales: Mapping[int, int],
) -> int:
    """Append the entries of these (journal id, postings); return their number.

    `scales` are the decimal places of the assets, by asset id.
    """
    next_id = process_ids().next_id
    suffixes = {asset_id: f"e-{scale}\t" for asset_id, scale in scales.items()}
    lines = [
        f"{next_id()}\t{journal_id}\t{account_id}\t{asset_id}\t{atoms}{suffixes[asset_id]}{kind}\n"
        for journal_id, postings in journals
        for account_id, asset_id, atoms, kind in postings
    ]
    if lines:
        with connection.cursor() as cursor, cursor.copy(ENTRIES_COPY) as copy:
            copy.write("".join(lines))
    return len(lines)
