from django.db import migrations


class Migration(migrations.Migration):
    """A function that says whether an agent is halted, as of when it is called and until the commit.

    A statement sees the database as it was when the statement began. Inside it, a volatile function sees what was
    committed since: it waits for a halt that is being pressed, and then reads it.
    """

    dependencies = [("approvals", "0001_initial")]

    operations = [
        migrations.RunSQL(
            """
            CREATE FUNCTION approvals_halted(name text) RETURNS boolean VOLATILE LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_advisory_xact_lock_shared(1751215220);
                RETURN EXISTS (SELECT 1 FROM approvals_halt WHERE lifted_at IS NULL AND agent IN ('', name));
            END $$
            """,
            "DROP FUNCTION approvals_halted(text)",
        )
    ]
