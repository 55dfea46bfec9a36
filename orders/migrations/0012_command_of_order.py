"""The last command of an order is found at the end of an index, however many there were."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("orders", "0011_references_valid")]

    operations = [
        AddIndexConcurrently(
            model_name="command",
            index=models.Index(fields=["order_id", "id"], name="command_of_order"),
        ),
        RemoveIndexConcurrently(model_name="command", name="command_order"),
    ]
