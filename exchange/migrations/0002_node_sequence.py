"""The sequence that numbers processes for their ids (exchange.infra.database.node_number)."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("exchange", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "CREATE SEQUENCE takas_node AS integer MINVALUE 0 MAXVALUE 1023 START 0 CYCLE",
            "DROP SEQUENCE takas_node",
        )
    ]
