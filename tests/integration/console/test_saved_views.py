"""Saved views of the queue, and staying where one is in it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from approvals.attention import care
from approvals.models import Approval
from console.models import SavedView
from console.views import inbox
from tests import world
from tests.integration.console.callers import Caller
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-2", "OPS-5")]
FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}


def browser(name: str, *roles: str) -> Client:
    client = Client()
    client.force_login(world.person(name, *roles))
    return client


def asked(count: int, tool: str = "ship", effect: str = "reversible") -> list[Approval]:
    shop = Caller("shop", "service")
    made = [
        shop.post("/approvals", {"tool": tool, "arguments": {"order": f"A-{place}"}, "effect": effect})
        for place in range(count)
    ]
    return [Approval.objects.get(pk=each["id"]) for each in made]


def listed(client: Client, path: str) -> set[str]:
    page = client.get(path).content.decode()
    return set(re.findall(r'id="row-([0-9a-f-]{36})"', page))


def ids(*rows: Approval) -> set[str]:
    return {str(row.pk) for row in rows}


def save(client: Client, **values: Any) -> Any:
    return client.post("/inbox/views", values)


def test_filters_show_what_matches_alone_and_together() -> None:
    ana = browser("ana", "operator")
    ship, pay = asked(1)[0], asked(1, "pay", "irreversible")[0]
    Approval.objects.filter(pk=pay.pk).update(subject={"customer_id": "C-7"}, agent="teller")
    Approval.objects.filter(pk=ship.pk).update(expires_at=timezone.now() + timedelta(minutes=30))
    care.take(ship.pk, actor=world.operator("ana"), held_by="", now=timezone.now())
    both = ids(ship, pay)
    for query, found in (
        ("", both),
        ("tool=pay", ids(pay)),
        ("risk=high", ids(pay)),
        ("risk=medium", ids(ship)),
        ("risk=nonsense", both),
        ("agent=teller&tool=ship", set()),
        ("subject=C-7", ids(pay)),
        ("subject=customer_id", set()),
        ("subject=%27%22%5C", set()),
        ("mine=on", ids(ship)),
        ("expiring=on", ids(ship)),
        ("mine=on&risk=high", set()),
    ):
        assert listed(ana, f"/inbox/queue?{query}") == found, query


def test_a_view_is_saved_shared_read_only_and_opens_by_default() -> None:
    ana, ben = browser("ana", "operator"), browser("ben", "operator")
    ship, pay = asked(1)[0], asked(1, "pay", "irreversible")[0]
    assert save(ana, name="", risk="high").headers["Location"] == "/inbox?risk=high"
    assert save(ana, name="All of it").status_code == 302
    assert not SavedView.objects.exists()
    shown = save(ana, name="Big  ones", risk="high", shared="on", default="on").headers["Location"]
    view = SavedView.objects.get()
    assert shown == f"/inbox?view={view.pk}"
    assert view.name == "Big ones"
    assert Event.objects.get(name="view.shared").actor == "user:ana"
    assert listed(ana, "/inbox") == ids(pay)
    assert listed(ana, "/inbox?view=all") == ids(ship, pay)
    assert listed(ben, "/inbox") == ids(ship, pay)
    assert listed(ben, shown) == ids(pay)
    assert "by ana" in ben.get("/inbox").content.decode()
    ben.post(f"/inbox/views/{view.pk}/delete")
    save(ben, name="Big ones", tool="ship")
    assert SavedView.objects.get(pk=view.pk).filters == {"risk": "high"}
    own = SavedView.objects.get(user__username="ben")
    assert listed(ana, f"/inbox?view={own.pk}") == ids(ship, pay)  # not hers to see
    ana.post(f"/inbox/views/{view.pk}/delete")
    assert listed(ana, "/inbox") == ids(ship, pay)


def test_deciding_stays_on_the_page_and_in_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "SHOWN", 2)
    monkeypatch.setattr("console.views.decision.SHOWN", 2)
    ana = browser("ana", "operator")
    rows = asked(5)
    asked(1, "pay", "irreversible")
    place = "?tool=ship&page=2"
    page = ana.get(f"/inbox{place}").content.decode()
    assert f'href="/inbox/{rows[2].pk}?tool=ship&amp;page=2"' in page
    card = ana.get(f"/inbox/{rows[2].pk}{place}", headers=FRAGMENT).content.decode()
    action = re.search(r'hx-post="(/inbox/[^"]+/decision[^"]*)"', card)
    assert action
    address = action[1].replace("&amp;", "&")
    assert address == f"/inbox/{rows[2].pk}/decision{place}"
    data = {"decision": "approve", "digest": rows[2].digest}
    done = ana.post(address, data, headers=FRAGMENT)
    assert done.headers["HX-Push-Url"] == f"/inbox/{rows[3].pk}{place}"
    left = set(re.findall(r'id="row-([0-9a-f-]{36})"', done.content.decode()))
    assert left == ids(rows[3], rows[4])
