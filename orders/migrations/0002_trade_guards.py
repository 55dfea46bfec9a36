"""Trades are never changed; the first partition of symbols and its cursor exist."""

from django.db import migrations

GUARDS = """
CREATE TRIGGER trade_append_only BEFORE UPDATE OR DELETE ON orders_trade
    FOR EACH ROW EXECUTE FUNCTION takas_refuse_change();
INSERT INTO orders_enginepartition
    (id, epoch, owner, last_seq, published_seq, stream_position, state_hash, feed_sequences,
     updated_at)
VALUES (1, 0, '', 0, 0, '0-0', '', '{}', now());
INSERT INTO orders_settlementcursor (partition_id, last_seq, updated_at) VALUES (1, 0, now());
"""

UNDO = """
DELETE FROM orders_settlementcursor WHERE partition_id = 1;
DELETE FROM orders_enginepartition WHERE id = 1;
DROP TRIGGER trade_append_only ON orders_trade;
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial"), ("wallets", "0002_ledger_guards")]

    operations = [migrations.RunSQL(GUARDS, UNDO)]
