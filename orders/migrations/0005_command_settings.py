"""An index over the few commands that say what rules a symbol goes by (orders/markets/rules.py).

They are looked for every minute, among all the cancels that a market ever saw.
"""

from django.db import migrations

INDEX = """
CREATE INDEX CONCURRENTLY IF NOT EXISTS command_settings ON orders_command (symbol_id, id)
WHERE kind IN ('set_band', 'set_limits', 'set_feature')
"""


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("orders", "0004_order_types")]

    operations = [migrations.RunSQL(INDEX, "DROP INDEX CONCURRENTLY IF EXISTS command_settings")]
