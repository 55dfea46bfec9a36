"""A function that returns the accounts, of those given, that may neither place nor amend.

Every batch of intake calls it. A function keeps its plan; intake's connection planned every
statement anew, and planning this one took as long as running it. The function reads by primary
keys only, so its plan stays right as the tables grow.
"""

from django.db import migrations

CREATE = """
CREATE FUNCTION takas_accounts_barred(account_ids bigint[]) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE ROWS 1 SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY SELECT account.id FROM wallets_account AS account
        JOIN exchange_user AS person ON person.id = account.user_id
        WHERE account.id = ANY(account_ids) AND (person.is_suspended OR NOT person.is_active);
END $$;
"""
DROP = "DROP FUNCTION takas_accounts_barred(bigint[])"


class Migration(migrations.Migration):
    dependencies = [
        ("wallets", "0010_words_and_signs_valid"),
        ("exchange", "0010_words_and_signs_valid"),
    ]
    operations = [migrations.RunSQL(CREATE, DROP)]
