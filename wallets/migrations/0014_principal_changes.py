"""A user's account is part of its principal: a note tells that it came, moved or went."""

from django.db import migrations

NOTES = """
CREATE TRIGGER account_principal_changed AFTER INSERT OR UPDATE OF user_id OR DELETE
    ON wallets_account FOR EACH ROW EXECUTE FUNCTION takas_principal_changed('user_id');
"""
UNDO = "DROP TRIGGER account_principal_changed ON wallets_account"


class Migration(migrations.Migration):
    dependencies = [
        ("wallets", "0013_rows_check"),
        ("exchange", "0011_principal_changes"),
    ]
    operations = [migrations.RunSQL(NOTES, UNDO)]
