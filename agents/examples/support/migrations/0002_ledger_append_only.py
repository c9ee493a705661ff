"""The ledger only grows: the database itself refuses to change or delete an entry."""

from django.db import migrations

REFUSE = """
CREATE FUNCTION support_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger only grows: entry % can''t be changed or deleted; add one that corrects it', OLD.id;
END
$$;
CREATE TRIGGER support_ledger_append_only BEFORE UPDATE OR DELETE ON support_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION support_ledger_refuse();
"""
ALLOW = """
DROP TRIGGER support_ledger_append_only ON support_ledgerentry;
DROP FUNCTION support_ledger_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("support", "0001_initial")]
    operations = [migrations.RunSQL(REFUSE, ALLOW)]
