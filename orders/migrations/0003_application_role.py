"""A role for the running application that cannot change or delete ledger entries and trades.

Processes connect as the owner of the tables and step down to `takas_app` (DATABASE_ROLE); the
guards of the ledger then hold twice: by privilege, and by trigger. Where the owner may not create
roles (a managed server), an administrator creates `takas_app` beforehand, or the triggers alone
stand guard.
"""

from django.db import migrations

GRANTS = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'takas_app') THEN
        IF NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
            RAISE NOTICE 'role takas_app is missing and % may not create it', current_user;
            RETURN;
        END IF;
        BEGIN
            CREATE ROLE takas_app NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another database of this server was migrated at the same moment
        END;
        EXECUTE format('GRANT takas_app TO %I', current_user);
    END IF;
    GRANT USAGE ON SCHEMA public TO takas_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO takas_app;
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO takas_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public
        GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO takas_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO takas_app;
    REVOKE UPDATE, DELETE, TRUNCATE ON wallets_entry, orders_trade FROM takas_app;
END $$;
"""

UNDO = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'takas_app') THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM takas_app;
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM takas_app;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM takas_app;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM takas_app;
    END IF;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0002_trade_guards"),
        ("wallets", "0003_house_accounts"),
        ("exchange", "0002_node_sequence"),
    ]

    operations = [migrations.RunSQL(GRANTS, UNDO)]
