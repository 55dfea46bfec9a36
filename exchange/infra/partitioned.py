"""A migration operation that creates a model's table partitioned by ranges of its id."""

from typing import Any

from django.db import migrations


class CreatePartitionedModel(migrations.CreateModel):
    """CreateModel with `PARTITION BY RANGE (id)`; the model and its primary key are ordinary.

    `manage.py partitions --ensure` makes the partitions (exchange/infra/partitions.py).
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = f"{plain} PARTITION BY RANGE (id)"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = plain
