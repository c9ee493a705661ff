"""Looking for a secret where none may stand."""

import base64

from django.db import connection
from django.db.backends.postgresql.psycopg_any import sql


def tables_with(secret: str) -> list[str]:
    """The tables of the database in any of whose rows the secret stands: as text, in bytes, or in base64."""
    forms = (secret, secret.encode().hex(), base64.b64encode(secret.encode()).decode())
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            for form in forms:
                query = sql.SQL("SELECT EXISTS (SELECT 1 FROM {0} AS t WHERE strpos(t::text, %s) > 0)")
                cursor.execute(query.format(sql.Identifier(table)), [form])
                if cursor.fetchone()[0]:
                    found.append(table)
    return found
