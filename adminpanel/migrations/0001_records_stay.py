"""Make the two record tables append-only: the running application may only insert and select.

This app comes after those that own the tables, because the role's grants must exist first.
"""

from django.db import migrations

GUARDS = """
CREATE TRIGGER admin_log_append_only BEFORE UPDATE OR DELETE ON django_admin_log
    FOR EACH ROW EXECUTE FUNCTION takas_refuse_change();
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'takas_app') THEN
        REVOKE UPDATE, DELETE, TRUNCATE ON exchange_securityevent, django_admin_log
            FROM takas_app;
    END IF;
END $$;
"""

UNDO = """
DROP TRIGGER admin_log_append_only ON django_admin_log;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'takas_app') THEN
        GRANT UPDATE, DELETE ON exchange_securityevent, django_admin_log TO takas_app;
    END IF;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("exchange", "0007_security_events"),
        ("orders", "0003_application_role"),
    ]

    operations = [migrations.RunSQL(GUARDS, UNDO)]
