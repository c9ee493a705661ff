"""Several requests decided at once: frozen as shown, counted, one result for each."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from agents.decisions import decide
from approvals.models import Approval, Decision
from tests import world
from tests.integration.console.callers import Caller
from traces.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ana(client: Client) -> Client:
    client.force_login(world.person("ana", "operator"))
    return client


def asked(count: int, effect: str = "reversible") -> list[Approval]:
    """Requests of another program."""
    shop = Caller("shop", "service")
    made = [
        shop.post("/approvals", {"tool": "ship", "arguments": {"order": f"A-{place}"}, "effect": effect})
        for place in range(count)
    ]
    return [Approval.objects.get(pk=each["id"]) for each in made]


def frozen(approvals: list[Approval]) -> list[str]:
    return [f"{each.pk}:{each.digest}" for each in approvals]


def confirm(client: Client, approvals: list[Approval], **values: Any) -> Any:
    data = {"chosen": frozen(approvals), "ticked": frozen(approvals), "count": len(approvals)}
    return client.post("/inbox/bulk/decision", data | {"decision": "approve", "reason": ""} | values)


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def status_of(approval: Approval) -> str:
    return Approval.objects.get(pk=approval.pk).status


@pytest.mark.req("APR-3")
def test_what_is_chosen_is_listed_in_words_high_risk_first_and_not_ticked(ana: Client) -> None:
    easy, hard = asked(2), asked(1, "irreversible")
    queue = text(ana.get("/inbox"))
    assert all(f'name="chosen" value="{value}"' in queue for value in frozen(easy + hard))
    page = text(ana.post("/inbox/bulk", {"chosen": frozen(easy + hard)}))
    assert page.index(f'id="t-{hard[0].pk}"') < page.index(f'id="t-{easy[0].pk}"')
    assert page.count(" checked ") == 2
    assert "Let shop call ship" in page
    assert " checked " not in page.split(f'id="t-{hard[0].pk}"')[1].split(">")[0]
    assert Decision.objects.count() == 0


@pytest.mark.req("APR-3")
def test_nothing_is_decided_until_the_count_and_the_reason_are_right(ana: Client) -> None:
    chosen = asked(3)
    for values, words in (
        ({"count": 2}, "3 are ticked, and you typed 2"),
        ({"count": ""}, "you typed nothing"),
        ({"decision": "reject"}, "Say why you reject"),
        ({"decision": "edit"}, "Choose whether"),
        ({"ticked": []}, "Tick at least one"),
        ({"reason": "x" * 2001, "decision": "reject"}, "2,001 characters"),
    ):
        answer = confirm(ana, chosen, **values)
        assert answer.status_code == 422
        assert words in text(answer)
    assert Decision.objects.count() == 0


@pytest.mark.req("APR-3", "APR-4", "APR-9")
def test_each_is_decided_by_itself_with_a_result_of_its_own(ana: Client) -> None:
    fine, gone, changed, mine = asked(4)
    ben = world.operator("ben")
    decide(approval_id=gone.pk, actor=ben, decision="reject", digest=gone.digest, reason="No.")
    Approval.objects.filter(pk=changed.pk).update(digest="f" * 64)
    Approval.objects.filter(pk=mine.pk).update(role="admin")
    Event.objects.filter(name="approval.seen").delete()
    answer = text(confirm(ana, [fine, gone, changed, mine]))
    assert "1 decided, 3 not" in answer
    for words in ("Approved", "Already resolved", "Changed since it was shown to you", "Not allowed"):
        assert words in answer
    assert [status_of(each) for each in (fine, gone, changed, mine)] == [
        "approved",
        "denied",
        "pending",
        "pending",
    ]


@pytest.mark.req("APR-3")
def test_what_changed_or_ended_meanwhile_is_left_out_of_what_can_be_ticked(ana: Client) -> None:
    fine, changed = asked(2)
    value = frozen([changed])
    Approval.objects.filter(pk=changed.pk).update(digest="f" * 64)
    page = text(ana.post("/inbox/bulk", {"chosen": [*frozen([fine]), *value, "nonsense", f"{uuid4()}:x"]}))
    assert "Decide 1 request together" in page
    assert "It changed since it was shown to you" in page


@pytest.mark.req("APR-3")
def test_more_than_a_hundred_are_refused_in_words(ana: Client) -> None:
    page = ana.post("/inbox/bulk", {"chosen": [f"{uuid4()}:{'a' * 64}" for _ in range(101)]})
    assert page.status_code == 422
    assert "101 were chosen: decide at most 100 at once." in text(page)


@pytest.mark.req("APR-3", "OPS-3")
def test_the_api_decides_several_with_one_result_each() -> None:
    chosen = asked(3)
    ana = Caller("ana", "operator", "decide")
    items = [{"id": str(each.pk), "digest": each.digest, "decision": "approve"} for each in chosen]
    items[1] |= {"decision": "reject"}  # without a reason
    items[2] |= {"digest": "0" * 64}
    items.append({"id": str(uuid4()), "digest": "0", "decision": "reject", "reason": "No."})
    items.append(items[0])
    body = ana.post("/approvals/bulk-decision", {"decisions": items})
    assert ana.status == 200
    assert [each["result"] for each in body["results"]] == [
        "done",
        "invalid",
        "changed",
        "not_found",
        "already_resolved",
    ]
    assert [each["status"] for each in body["results"]] == ["approved", None, None, None, None]
    ana.post("/approvals/bulk-decision", {"decisions": items[:1] * 101})
    assert ana.status == 422
    shop = Caller("shop", "service")
    body = shop.post("/approvals/bulk-decision", {"decisions": items[1:2]})
    assert body["results"][0]["result"] in ("invalid", "not_allowed")
    shop.post("/approvals/bulk-decision", {"decisions": [items[2] | {"reason": "No.", "decision": "reject"}]})
    assert shop.body["results"][0]["result"] == "not_allowed"
    assert status_of(chosen[2]) == "pending"
