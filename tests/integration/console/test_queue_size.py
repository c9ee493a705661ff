"""A queue of ten thousand."""

import cProfile
import pstats

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from approvals.access import Actor
from approvals.models import Approval
from approvals.queries import pending_queue, queue_rows
from tests import world
from tests.crowd import fill_queue

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 10_000
FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def full(client: Client) -> Client:
    """A person before a queue of ten thousand requests as large as real ones, and half as many that are settled."""
    client.force_login(world.person("ana", "operator"))
    fill_queue(MANY, settled=MANY // 2)
    return client


def work_of(client: Client, path: str, headers: dict[str, str]) -> int:
    """How many calls the code makes for a page: counted, for clocks of a machine that others work on tell little."""
    client.get(path, headers=headers)  # templates are read once
    profile = cProfile.Profile()
    response = profile.runcall(client.get, path, headers=headers)
    assert response.status_code == 200
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.req("APR-1", "OPS-4")
def test_the_first_page_of_ten_thousand_takes_no_longer_than_of_a_hundred(
    full: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the test client alone does, copying the context of every template, is no work of the server.
    monkeypatch.setattr("django.test.client.store_rendered_templates", lambda *args, **kwargs: None)
    pages: tuple[tuple[str, dict[str, str]], ...] = (("/inbox/queue", FRAGMENT), ("/inbox", {}))
    many = [work_of(full, *page) for page in pages]
    response = full.get("/inbox")
    plan = queue_rows(Actor(world.person("ana", "operator")))[:51].explain()
    assert "Index Scan" in plan
    assert "Sort" not in plan
    page = response.content.decode()
    assert page.count('class="row-link') == 50
    assert "1 to 50 of 1,000+" in page
    assert "1,000+" in page.split('id="inbox-count"')[1][:40]
    Approval.objects.filter(arguments__amount__gte=100).delete()
    few = [work_of(full, *page) for page in pages]
    assert all(large < 1.1 * small for large, small in zip(many, few, strict=True)), (many, few)


@pytest.mark.req("APR-1")
def test_the_pages_follow_each_other_and_the_index_gives_the_order(full: Client) -> None:
    ana = Actor(world.person("ana", "operator"))
    wanted = [str(pk) for pk in pending_queue(ana).values_list("pk", flat=True)[:100]]
    second = full.get("/inbox?page=2").content.decode()
    assert all(f'id="row-{pk}"' in second for pk in wanted[50:])
    assert 'hx-get="/inbox/queue?page=2"' in second
    assert "51 to 100" in second
    assert full.get("/inbox?page=nonsense").status_code == 200
    assert full.get("/inbox?page=99999").status_code == 200
    assert "approval_queue" in queue_rows(ana)[:51].explain()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        full.get("/inbox/queue")
    assert len(queries) < 12
