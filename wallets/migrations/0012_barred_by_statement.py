"""Drop the function of 0011: intake now reads barred accounts with a prepared statement."""

from importlib import import_module

from django.db import migrations

_function = import_module("wallets.migrations.0011_barred_accounts")


class Migration(migrations.Migration):
    dependencies = [("wallets", "0011_barred_accounts")]
    operations = [migrations.RunSQL(_function.DROP, _function.CREATE)]
