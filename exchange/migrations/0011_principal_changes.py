"""Notes of what changed of principals, written by triggers.

A note names the user, or nobody where all users may have changed (tiers). Each note deletes some of
those that are older than a day, so the table needs no other care.
"""

from django.db import migrations, models

NOTES = """
-- Its argument is the column that names the user; without one the change is of all users.
CREATE FUNCTION takas_principal_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    users bigint[];
BEGIN
    IF TG_NARGS > 0 AND TG_OP <> 'INSERT' THEN
        users := users || (to_jsonb(OLD) ->> TG_ARGV[0])::bigint;
    END IF;
    IF TG_NARGS > 0 AND TG_OP <> 'DELETE' THEN
        users := users || (to_jsonb(NEW) ->> TG_ARGV[0])::bigint;
    END IF;
    INSERT INTO exchange_principalchange (user_id, transaction, noted_at)
    SELECT DISTINCT one, pg_current_xact_id()::text::bigint, now()
    FROM unnest(CASE WHEN TG_NARGS > 0 THEN users ELSE ARRAY[NULL::bigint] END) AS one
    WHERE one IS NOT NULL OR TG_NARGS = 0;
    DELETE FROM exchange_principalchange WHERE id = ANY(ARRAY(
        SELECT id FROM exchange_principalchange WHERE noted_at < now() - interval '1 day'
        ORDER BY noted_at LIMIT 8 FOR UPDATE SKIP LOCKED));
    RETURN NULL;
END $$;

CREATE TRIGGER user_principal_changed
    AFTER UPDATE OF is_active, is_suspended, tier_id, group_id, self_trade_prevention
    ON exchange_user FOR EACH ROW WHEN (
        (OLD.is_active, OLD.is_suspended, OLD.tier_id, OLD.group_id, OLD.self_trade_prevention)
        IS DISTINCT FROM
        (NEW.is_active, NEW.is_suspended, NEW.tier_id, NEW.group_id, NEW.self_trade_prevention))
    EXECUTE FUNCTION takas_principal_changed('id');
CREATE TRIGGER user_principal_gone AFTER DELETE ON exchange_user
    FOR EACH ROW EXECUTE FUNCTION takas_principal_changed('id');

CREATE TRIGGER apikey_principal_changed
    AFTER UPDATE OF key_id, user_id, secret_encrypted, can_read, can_trade, expires_at, revoked_at
    ON exchange_apikey FOR EACH ROW EXECUTE FUNCTION takas_principal_changed('user_id');
CREATE TRIGGER apikey_principal_gone AFTER DELETE ON exchange_apikey
    FOR EACH ROW EXECUTE FUNCTION takas_principal_changed('user_id');

CREATE TRIGGER tier_principals_changed AFTER INSERT OR UPDATE OR DELETE ON exchange_tier
    FOR EACH STATEMENT EXECUTE FUNCTION takas_principal_changed();
"""

UNDO = """
DROP TRIGGER tier_principals_changed ON exchange_tier;
DROP TRIGGER apikey_principal_gone ON exchange_apikey;
DROP TRIGGER apikey_principal_changed ON exchange_apikey;
DROP TRIGGER user_principal_gone ON exchange_user;
DROP TRIGGER user_principal_changed ON exchange_user;
DROP FUNCTION takas_principal_changed();
"""


class Migration(migrations.Migration):
    dependencies = [("exchange", "0010_words_and_signs_valid")]

    operations = [
        migrations.CreateModel(
            name="PrincipalChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("user_id", models.BigIntegerField(null=True)),
                ("transaction", models.BigIntegerField(db_index=True)),
                ("noted_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.RunSQL(NOTES, UNDO),
    ]
