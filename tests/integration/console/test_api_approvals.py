"""Approvals by REST: programs ask, people decide, and nobody else."""

import threading
from typing import Any

import pytest
from django.db import connection

from approvals.models import Approval, Decision, Halt
from approvals.settling import expire_due
from tests import world
from tests.integration.console.callers import Caller
from traces.models import Event

pytestmark = pytest.mark.django_db

REFUND = {
    "tool": "issue_refund",
    "arguments": {"order": "A-1", "amount": 40},
    "effect": "irreversible",
    "reason": "The parcel was lost.",
    "context": {"carrier": "says lost"},
    "expires_in": 600,
}


@pytest.fixture
def shop() -> Caller:
    return Caller("shop", "service")


@pytest.fixture
def ana() -> Caller:
    return Caller("ana", "operator", "decide")


@pytest.fixture
def refund(shop: Caller) -> Any:
    return shop.post("/approvals", REFUND)


@pytest.mark.req("APR-1", "OPS-3")
def test_a_program_asks_a_person_decides_and_the_program_is_told(shop: Caller, ana: Caller) -> None:
    asked = shop.post("/approvals", REFUND)
    assert shop.status == 201
    wanted = {
        "id", "status", "tool", "arguments", "digest", "effect", "risk", "reason", "rule", "tainted", "run", "agent",
        "requested_at", "expires_at", "decision",
    }  # fmt: skip
    assert wanted <= asked.keys()
    assert (asked["status"], asked["risk"], asked["tainted"], asked["decision"]) == (
        "pending",
        "high",
        True,
        None,
    )
    assert ana.get("/approvals", status="pending")["items"] == [asked]

    decided = ana.post(
        f"/approvals/{asked['id']}/decision", {"decision": "approve", "digest": asked["digest"]}
    )
    assert ana.status == 200
    assert decided["status"] == "approved"
    told = shop.get(f"/approvals/{asked['id']}", wait=10)
    assert told == decided
    assert (told["decision"]["by"], told["decision"]["via"]) == ("ana", "token")
    assert Event.objects.get(name="approval.approved").actor == "token:ana"


@pytest.mark.req("APR-5")
def test_with_four_eyes_who_changed_it_is_not_enough(ana: Caller, refund: Any, settings: Any) -> None:
    settings.FOUR_EYES = True
    world.operator("cleo")
    edit = {"decision": "edit", "digest": refund["digest"], "arguments": {"order": "A-1", "amount": 25}}
    decided = ana.post(f"/approvals/{refund['id']}/decision", edit)
    assert (decided["status"], decided["arguments"]["amount"]) == ("pending", 25)
    assert decided["missing"] == "somebody else must say yes too, since ana changed it"
    world.agree(Approval.objects.get(pk=refund["id"]))
    assert ana.get(f"/approvals/{refund['id']}")["status"] == "approved"


@pytest.mark.req("APR-4")
def test_an_edit_changes_what_the_program_is_told_to_do(shop: Caller, ana: Caller, refund: Any) -> None:
    edit = {"decision": "edit", "digest": refund["digest"], "arguments": {"order": "A-1", "amount": 25}}
    decided = ana.post(f"/approvals/{refund['id']}/decision", edit)
    assert ana.status == 200
    assert (decided["status"], decided["arguments"]["amount"]) == ("approved", 25)
    assert decided["digest"] != refund["digest"]
    assert decided["decision"]["decision"] == "edit"


@pytest.mark.parametrize(
    "arguments", [None, {}, {"order": "A-1", "amount": "all"}, {"order": "A-1", "amount": 1, "x": 1}]
)
def test_an_edit_that_does_not_fit_decides_nothing(ana: Caller, refund: Any, arguments: Any) -> None:
    edit = {"decision": "edit", "digest": refund["digest"], "arguments": arguments}
    ana.post(f"/approvals/{refund['id']}/decision", edit)
    assert ana.status == 422
    assert ana.get(f"/approvals/{refund['id']}")["status"] == "pending"


@pytest.mark.req("APR-3")
def test_a_stale_digest_is_a_conflict_that_names_the_current_one(ana: Caller, refund: Any) -> None:
    ana.post(f"/approvals/{refund['id']}/decision", {"decision": "approve", "digest": "0" * 64})
    assert ana.status == 409
    assert ana.body["type"] == "urn:gatehouse:problem:stale_digest"
    assert ana.body["digest"] == refund["digest"]
    assert Decision.objects.count() == 0


def test_the_second_decision_is_told_who_was_first(ana: Caller, refund: Any) -> None:
    reject = {"decision": "reject", "digest": refund["digest"], "reason": "Not lost."}
    ana.post(f"/approvals/{refund['id']}/decision", reject)
    Caller("ben", "operator", "decide").post(f"/approvals/{refund['id']}/decision", reject)
    ben = Caller("ben", "operator", "decide")
    ben.post(f"/approvals/{refund['id']}/decision", reject)
    assert (ben.status, ben.body["resolved"]) == (409, "denied")
    assert "by ana" in ben.body["detail"]


@pytest.mark.req("OPS-3", "APR-3")
@pytest.mark.parametrize(
    ("role", "scopes", "status"),
    [
        ("service", (), 403),
        ("operator", (), 403),
        ("analyst", ("decide",), 403),
        ("operator", ("decide",), 200),
        ("admin", (), 403),
        ("admin", ("decide",), 200),
    ],
)
def test_who_may_decide(refund: Any, role: str, scopes: tuple[str, ...], status: int) -> None:
    caller = Caller("someone", role, *scopes)
    Approval.objects.filter(pk=refund["id"]).update(run_id=None)
    caller.post(f"/approvals/{refund['id']}/decision", {"decision": "approve", "digest": refund["digest"]})
    # A service does not even see what others asked.
    assert caller.status == (404 if role == "service" else status)


@pytest.mark.req("OPS-3", "APR-3")
def test_a_service_never_decides_even_what_it_sees(shop: Caller, refund: Any) -> None:
    shop.post(f"/approvals/{refund['id']}/decision", {"decision": "approve", "digest": refund["digest"]})
    assert shop.status == 403
    assert "never decide" in shop.body["detail"]
    assert Approval.objects.get().status == "pending"


@pytest.mark.req("OPS-3", "APR-3")
def test_nobody_decides_what_they_asked_for(ana: Caller) -> None:
    asked = ana.post("/approvals", REFUND)
    ana.post(f"/approvals/{asked['id']}/decision", {"decision": "approve", "digest": asked["digest"]})
    assert ana.status == 403


@pytest.mark.req("OPS-3")
def test_a_program_sees_and_withdraws_its_own_only(shop: Caller, refund: Any) -> None:
    crm = Caller("crm", "service")
    crm.get(f"/approvals/{refund['id']}")
    assert crm.status == 404
    assert crm.get("/approvals")["items"] == []
    crm.post(f"/approvals/{refund['id']}/withdraw")
    assert crm.status == 404
    assert shop.post(f"/approvals/{refund['id']}/withdraw", {"reason": "found"})["status"] == "withdrawn"
    shop.post(f"/approvals/{refund['id']}/withdraw")
    assert shop.status == 409


def test_an_analyst_reads_and_asks_nothing() -> None:
    amir = Caller("amir", "analyst")
    amir.post("/approvals", REFUND)
    assert amir.status == 403
    amir.get("/approvals")
    assert amir.status == 200


def test_what_nobody_decides_expires(shop: Caller, refund: Any) -> None:
    from datetime import datetime, timedelta

    expire_due(now=datetime.fromisoformat(refund["expires_at"]) + timedelta(seconds=1))
    assert shop.get(f"/approvals/{refund['id']}")["status"] == "expired"


@pytest.mark.parametrize(
    "change",
    [
        {"tool": ""},
        {"tool": "a\x00b"},
        {"tool": "x" * 129},
        {"tool": "two words"},
        {"arguments": "all"},
        {"arguments": {"n": 2**60}},
        {"effect": "harmless"},
        {"expires_in": 0},
        {"expires_in": "soon"},
        {"expires_in": 10**9},
        {"callback_url": "http://127.0.0.1/hook"},
        {"approvers": 0},
    ],
)
def test_a_bad_request_asks_nobody(shop: Caller, change: dict[str, Any]) -> None:
    shop.post("/approvals", REFUND | change)
    assert shop.status == 422
    assert shop.body["errors"]
    assert Approval.objects.count() == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "maybe", "digest": "x"},
        {"decision": "approve"},
        {"decision": "approve", "digest": "x" * 65},
        {"decision": "answer", "digest": "x", "answer": "yes"},
        {"decision": "reject", "digest": "x", "reason": ""},
        b"\xff",
    ],
)
def test_a_bad_decision_decides_nothing(ana: Caller, refund: Any, body: Any) -> None:
    ana.post(f"/approvals/{refund['id']}/decision", body)
    assert ana.status in (400, 422)
    assert Decision.objects.count() == 0


def test_lists_can_be_narrowed(shop: Caller, ana: Caller, refund: Any) -> None:
    assert ana.get("/approvals", status="approved")["items"] == []
    assert ana.get("/approvals", run="01900000-0000-7000-8000-000000000000")["items"] == []
    for query in ({"status": "maybe"}, {"run": "x"}, {"run": "\x00"}, {"status": "\x00"}):
        ana.get("/approvals", **query)
        assert ana.status == 422


def test_the_same_key_asks_once(shop: Caller) -> None:
    first = shop.post("/approvals", REFUND, key="k")
    assert shop.post("/approvals", REFUND, key="k") == first
    assert Approval.objects.count() == 1


@pytest.mark.req("APR-3")
@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_does(shop: Caller) -> None:
    refund = shop.post("/approvals", REFUND)
    people = [Caller(f"person{number}", "operator", "decide") for number in range(8)]
    gate = threading.Barrier(len(people))

    def decide(caller: Caller) -> None:
        gate.wait()
        caller.post(
            f"/approvals/{refund['id']}/decision", {"decision": "approve", "digest": refund["digest"]}
        )
        connection.close()

    threads = [threading.Thread(target=decide, args=[caller]) for caller in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(caller.status for caller in people) == [200] + [409] * 7
    assert Decision.objects.count() == 1


@pytest.mark.req("OPS-3")
@pytest.mark.parametrize(
    ("role", "status"), [("operator", 201), ("admin", 201), ("analyst", 403), ("service", 403)]
)
def test_who_may_press_the_emergency_stop(role: str, status: int) -> None:
    caller = Caller("someone", role)
    caller.post("/halt", {"reason": "It pays twice."})
    assert caller.status == status
    caller.delete("/halt")
    assert caller.status == (204 if status == 201 else 403)


def test_the_emergency_stop_stands_once_until_it_is_lifted(ana: Caller) -> None:
    world.publish_agent()
    first = ana.post("/halt", {"agent": "teller", "reason": "It pays twice."})
    assert first["halted_by"] == "ana"
    assert ana.post("/halt", {"agent": "teller"}) == first
    ana.delete("/halt?agent=teller")
    assert ana.status == 204
    ana.delete("/halt?agent=teller")
    assert ana.status == 404
    ana.post("/halt")
    assert (ana.status, ana.body["agent"]) == (201, "")


def test_a_misspelt_agent_is_not_believed_to_be_stopped(ana: Caller) -> None:
    for agent in ("telller", "The Teller", "\x00"):
        ana.post("/halt", {"agent": agent})
        assert ana.status == 422
    assert not Halt.objects.exists()
