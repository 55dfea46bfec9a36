"""What names an account, a symbol or an asset names one that exists (docs/adr/0017).

Foreign keys where rows are rare. On the hot tables a foreign key looks each row up by itself and
locks what it finds: there one look at all rows of a statement does the same, and what they name is
never deleted. The keys hold for new rows at once; the next migration looks at the old ones.
"""

from django.db import migrations

KEYS = (
    ("orders_orderlist", "account_id", "wallets_account", "orderlist_account_fk"),
    ("orders_orderlist", "symbol_id", "exchange_symbol", "orderlist_symbol_fk"),
    ("orders_preventedmatch", "symbol_id", "exchange_symbol", "prevented_symbol_fk"),
    ("orders_preventedmatch", "maker_account_id", "wallets_account", "prevented_maker_fk"),
    ("orders_preventedmatch", "taker_account_id", "wallets_account", "prevented_taker_fk"),
    ("orders_enginefault", "symbol_id", "exchange_symbol", "enginefault_symbol_fk"),
    ("wallets_auditedbalance", "account_id", "wallets_account", "audited_account_fk"),
    ("wallets_auditedbalance", "asset_id", "exchange_asset", "audited_asset_fk"),
)

_ACCOUNT = "LEFT JOIN wallets_account AS {name} ON {name}.id = named.{column}"
_SYMBOL = "LEFT JOIN exchange_symbol AS symbol ON symbol.id = named.symbol_id"

# table -> (name of guard and constraint, columns, what they are joined to, when a row is loose)
GUARDS = {
    "orders_order": (
        "order_refers",
        "account_id, symbol_id",
        f"{_ACCOUNT.format(name='owner', column='account_id')} {_SYMBOL}",
        "owner.id IS NULL OR symbol.id IS NULL",
    ),
    "wallets_reservation": (
        "reservation_refers",
        "account_id, symbol_id, asset_id",
        f"{_ACCOUNT.format(name='owner', column='account_id')} {_SYMBOL}"
        " AND named.asset_id IN (symbol.base_id, symbol.quote_id)",
        "owner.id IS NULL OR symbol.id IS NULL",
    ),
    "orders_trade": (
        "trade_refers",
        "symbol_id, maker_account_id, taker_account_id",
        f"{_ACCOUNT.format(name='maker', column='maker_account_id')}"
        f" {_ACCOUNT.format(name='taker', column='taker_account_id')} {_SYMBOL}",
        "maker.id IS NULL OR taker.id IS NULL OR symbol.id IS NULL",
    ),
    # -1 is matching.engine.messages.ALL_ACCOUNTS.
    "orders_command": (
        "command_refers",
        "account_id, symbol_id",
        f"{_ACCOUNT.format(name='owner', column='account_id')} {_SYMBOL}",
        "symbol.id IS NULL OR (owner.id IS NULL AND named.account_id <> -1)",
    ),
    # A balance has keys to its account and its asset: an entry without one is of nobody.
    "wallets_entry": (
        "entry_refers",
        "account_id, asset_id",
        "LEFT JOIN wallets_balance AS balance ON balance.account_id = named.account_id"
        " AND balance.asset_id = named.asset_id",
        "balance.id IS NULL",
    ),
}

# The plan is kept: to make it anew for each statement would cost more than to run it.
GUARD = """
CREATE FUNCTION takas_{name}() RETURNS trigger LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT {columns} FROM added) AS named {joins} WHERE {loose}
    ) THEN
        RAISE EXCEPTION 'a row of {table} names what does not exist'
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = '{name}', TABLE = '{table}';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER {name} AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION takas_{name}();
"""

STAYS = """
CREATE TRIGGER account_stays BEFORE DELETE ON wallets_account
    FOR EACH ROW EXECUTE FUNCTION takas_refuse_change();

CREATE FUNCTION takas_symbol_named_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM orders_order WHERE symbol_id = OLD.id)
        OR EXISTS (SELECT FROM orders_command WHERE symbol_id = OLD.id) THEN
        RAISE EXCEPTION 'symbol % had orders or commands: unlist or close it', OLD.code
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'symbol_named_stays';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER symbol_named_stays BEFORE DELETE ON exchange_symbol
    FOR EACH ROW EXECUTE FUNCTION takas_symbol_named_guard();
"""

STAYS_UNDO = """
DROP TRIGGER symbol_named_stays ON exchange_symbol;
DROP FUNCTION takas_symbol_named_guard();
DROP TRIGGER account_stays ON wallets_account;
"""


def guard(table: str) -> migrations.RunSQL:
    name, columns, joins, loose = GUARDS[table]
    text = GUARD.format(table=table, name=name, columns=columns, joins=joins, loose=loose)
    return migrations.RunSQL(text, f"DROP TRIGGER {name} ON {table}; DROP FUNCTION takas_{name}();")


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0009_order_moves"),
        ("wallets", "0010_words_and_signs_valid"),
        ("exchange", "0005_order_types_and_states"),
    ]

    operations = [
        *(
            migrations.RunSQL(
                f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column})"
                f" REFERENCES {target} (id) NOT VALID",
                f"ALTER TABLE {table} DROP CONSTRAINT {name}",
            )
            for table, column, target, name in KEYS
        ),
        *map(guard, GUARDS),
        migrations.RunSQL(STAYS, STAYS_UNDO),
    ]
