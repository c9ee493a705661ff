"""Making history: what the database refuses everybody, tests may do as its superuser, to let time pass."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def rewritable() -> Iterator[None]:
    """In the block, no trigger keeps events from being changed. Only a superuser can, and the chain tells."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        cursor.execute("SET LOCAL session_replication_role = origin")
