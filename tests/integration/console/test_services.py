"""The embedded services do what the product needs of them."""

import pytest
from django.core.cache import cache
from django.db import connection


@pytest.mark.req("OPS-1")
@pytest.mark.django_db
def test_postgres_has_pgvector() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        cursor.execute("SELECT '[1,2,3]'::vector <-> '[1,2,4]'::vector")
        assert cursor.fetchone() == (1.0,)


@pytest.mark.req("OPS-1")
@pytest.mark.usefixtures("valkey")
def test_valkey_keeps_what_the_cache_is_given() -> None:
    cache.set("key", {"some": "value"}, timeout=60)
    assert cache.get("key") == {"some": "value"}
