"""An order's status moves along the table of orders/lifecycle.py: the database refuses all else.

A legal move costs one comparison: the function runs for forbidden ones alone, to refuse them.
"""

from django.db import migrations

MOVES = """
CREATE FUNCTION takas_order_move_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'order % cannot go from % to %', OLD.id, OLD.status, NEW.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'order_moves', TABLE = 'orders_order';
END $$;

CREATE TRIGGER order_moves BEFORE UPDATE ON orders_order
    FOR EACH ROW WHEN (
        OLD.status IS DISTINCT FROM NEW.status
        AND NEW.status <> ALL (CASE OLD.status
            WHEN 'new' THEN ARRAY['waiting', 'open', 'partially_filled', 'filled', 'cancelled',
                'rejected', 'expired']
            WHEN 'waiting' THEN ARRAY['open', 'partially_filled', 'filled', 'cancelled', 'expired']
            WHEN 'open' THEN ARRAY['partially_filled', 'filled', 'cancelled', 'expired']
            WHEN 'partially_filled' THEN ARRAY['filled', 'cancelled', 'expired']
            ELSE ARRAY[]::text[] END))
    EXECUTE FUNCTION takas_order_move_refuse();
"""

UNDO = """
DROP TRIGGER order_moves ON orders_order;
DROP FUNCTION takas_order_move_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0008_words_and_signs_valid")]

    operations = [migrations.RunSQL(MOVES, UNDO)]
