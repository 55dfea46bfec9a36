"""Triggers that refuse changes of a grid or a scale while orders, trades or balances depend on it.

Orders, reservations and the engine keep prices and quantities as whole ticks and lots. A change
of the grid would give all of them another meaning. It is possible only while the symbol is halted,
has no live order and never traded. A new epoch then fences off the worker of its partition, which
keeps the grid in memory and loads it anew.
"""

from django.db import migrations

GUARDS = """
CREATE FUNCTION takas_symbol_in_use(wanted bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM wallets_reservation WHERE symbol_id = wanted)
        OR EXISTS (SELECT 1 FROM orders_trade WHERE symbol_id = wanted);
END $$;

CREATE FUNCTION takas_symbol_grid_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Waits for the worker's batch under way, and is what that worker's next one will meet.
    UPDATE orders_enginepartition SET epoch = epoch + 1, lease_until = NULL
    WHERE id = OLD.partition_id OR (TG_OP = 'UPDATE' AND id = NEW.partition_id);
    IF takas_symbol_in_use(OLD.id) THEN
        RAISE EXCEPTION 'symbol % has live orders or trades: its grid is fixed', OLD.code
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'symbol_grid_fixed';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF OLD.state <> 'halt' THEN
        RAISE EXCEPTION 'symbol % is not halted: its grid is fixed', OLD.code
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'symbol_grid_fixed';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER symbol_grid_fixed
    BEFORE UPDATE OF tick, lot, base_id, quote_id, partition_id ON exchange_symbol
    FOR EACH ROW WHEN (
        (OLD.tick, OLD.lot, OLD.base_id, OLD.quote_id, OLD.partition_id)
        IS DISTINCT FROM (NEW.tick, NEW.lot, NEW.base_id, NEW.quote_id, NEW.partition_id))
    EXECUTE FUNCTION takas_symbol_grid_guard();
CREATE TRIGGER symbol_in_use_stays BEFORE DELETE ON exchange_symbol
    FOR EACH ROW EXECUTE FUNCTION takas_symbol_grid_guard();

CREATE FUNCTION takas_asset_scale_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM wallets_balance WHERE asset_id = OLD.id)
        OR EXISTS (SELECT 1 FROM exchange_symbol WHERE OLD.id IN (base_id, quote_id)) THEN
        RAISE EXCEPTION 'asset % is held or traded: its scale is fixed', OLD.code
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'asset_scale_fixed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER asset_scale_fixed BEFORE UPDATE OF scale ON exchange_asset
    FOR EACH ROW WHEN (OLD.scale IS DISTINCT FROM NEW.scale)
    EXECUTE FUNCTION takas_asset_scale_guard();
"""

UNDO = """
DROP TRIGGER asset_scale_fixed ON exchange_asset;
DROP FUNCTION takas_asset_scale_guard();
DROP TRIGGER symbol_in_use_stays ON exchange_symbol;
DROP TRIGGER symbol_grid_fixed ON exchange_symbol;
DROP FUNCTION takas_symbol_grid_guard();
DROP FUNCTION takas_symbol_in_use(bigint);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("exchange", "0003_symbol_halt_permission"),
        ("orders", "0001_initial"),
        ("wallets", "0001_initial"),
    ]

    operations = [migrations.RunSQL(GUARDS, UNDO)]
