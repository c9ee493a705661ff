"""What people decide about a run's calls, and what holds when they decide."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents.decisions import decide
from agents.models import ToolCall
from agents.providers.scripted import call, say, together
from approvals.access import Actor
from approvals.exceptions import AlreadyResolved, Invalid, NotAllowed, Stale
from approvals.models import Approval, Decision
from approvals.settling import expire_due
from tests import tools, world
from tests.integration.agents.conftest import Play
from traces.models import Event, Span

pytestmark = pytest.mark.django_db(transaction=True)

ASK_FIRST = [{"effect": "irreversible", "then": "require", "expires": "15m"}]


@pytest.mark.req("RUN-1", "APR-1", "APR-4", "TOOL-4", "TRC-1")
def test_an_irreversible_call_waits_for_a_person_and_runs_once(play: Play) -> None:
    play(
        [
            together(say("I look."), call("get_balance", account="acme")),
            together(say("We owe 40."), call("pay", account="acme", amount=40)),
            say("Paid 40 EUR."),
        ]
    )
    world.publish_agent()
    world.operator()
    run = world.carry_on(world.start())
    assert run.status == "waiting_approval"
    assert run.lease_until is None
    assert tools.effects() == []
    request = world.pending(run)
    assert request.title == "Pay EUR 40.00 to acme"
    assert request.preview["changes"] == [{"field": "balance", "before": 1240.0, "after": 1200.0}]
    assert request.reason == "We owe 40."
    assert request.rule.startswith("default: one operator")
    assert [item["tool"] for item in request.context["evidence"]] == ["get_balance"]

    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    run = world.carry_on(run)

    assert (run.status, run.output) == ("completed", "Paid 40 EUR.")
    paid = ToolCall.objects.get(run=run, tool="pay")
    assert tools.effects() == [f"pay {paid.idempotency_key} acme 40.0"]
    operations = list(
        Span.objects.filter(trace_id=run.trace_id).order_by("started_at").values_list("operation", flat=True)
    )
    assert operations.count("chat") == 3
    assert operations.count("execute_tool") == 2
    assert operations.count("approval") == 1
    root = Span.objects.get(pk=run.root_span_id)
    assert root.ended_at is not None
    by = Span.objects.get(trace_id=run.trace_id, operation="approval").attributes[
        "gatehouse.approval.decided_by"
    ]
    assert by == "ana"
    names = list(
        Event.objects.filter(run_id=run.pk, object_id__in=[str(paid.pk), str(request.pk)])
        .order_by("pk")
        .values_list("name", flat=True)
    )
    assert names == [
        "approval.requested",
        "tool_call.pending_approval",
        "approval.approved",
        "tool_call.claimed",
        "tool_call.succeeded",
    ]


@pytest.mark.req("APR-3")
def test_an_edited_call_runs_with_the_edited_arguments_and_the_agent_is_told(play: Play) -> None:
    model = play([call("pay", account="acme", amount=40), say("Paid.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)

    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="edit",
        digest=request.digest,
        arguments={"account": "acme", "amount": 25},
    )
    run = world.carry_on(run)

    assert run.status == "completed"
    assert [line.split()[2:] for line in tools.effects()] == [["acme", "25.0"]]
    told = model.requests[-1].messages[-1].text
    assert "An operator changed amount from 40 to 25 before approving." in told
    decision = Decision.objects.get(approval=request)
    assert (decision.verdict, decision.user.username) == ("edit", "ana")
    assert [revision.arguments["amount"] for revision in request.revisions.order_by("number")] == [40, 25]


@pytest.mark.req("APR-3", "APR-4", "TOOL-2")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"account": "acme", "amount": -1}, "minimum"),
        ({"account": "acme", "amount": "25"}, "number"),
        ({"account": "umbrella", "amount": 25}, "accounts: acme, globex"),
        ({"account": "acme", "amount": 25, "approved": True}, "approved"),
    ],
)
def test_an_edit_is_validated_like_the_agents_own_call(
    play: Play, arguments: dict[str, Any], complaint: str
) -> None:
    play([call("pay", account="acme", amount=40), say("Paid.")])
    world.publish_agent()
    request = world.pending(world.carry_on(world.start()))
    with pytest.raises(Invalid, match=complaint):
        decide(
            approval_id=request.pk,
            actor=world.operator(),
            decision="edit",
            digest=request.digest,
            arguments=arguments,
        )
    request.refresh_from_db()
    assert (request.status, request.revision) == ("pending", 1)


@pytest.mark.req("APR-5")
def test_an_edit_is_judged_like_the_agents_own_call(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Paid.")])
    policy = [{"tool": "pay", "when": "arguments.amount > 100.0", "then": "deny"}]
    world.publish_agent(policy=policy)
    request = world.pending(world.carry_on(world.start()))
    with pytest.raises(Invalid, match="policy denies"):
        decide(
            approval_id=request.pk,
            actor=world.operator(),
            decision="edit",
            digest=request.digest,
            arguments={"account": "acme", "amount": 101},
        )


@pytest.mark.req("APR-3")
def test_a_rejected_call_does_not_run_and_is_not_asked_again(play: Play) -> None:
    model = play(
        [
            call("pay", account="acme", amount=40),
            call("pay", account="acme", amount=40),
            say("I could not pay."),
        ]
    )
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="reject",
        digest=request.digest,
        reason="wrong month",
    )
    run = world.carry_on(run)

    assert run.status == "completed"
    assert world.calls(run) == [("pay", "denied"), ("pay", "refused")]
    assert tools.effects() == []
    assert (
        "An operator rejected this call: wrong month. It did not happen."
        in model.requests[1].messages[-1].text
    )


@pytest.mark.req("APR-1")
def test_a_call_that_nobody_decides_expires_and_does_not_run(play: Play) -> None:
    model = play([call("pay", account="acme", amount=40), say("Nobody decided.")])
    world.publish_agent(policy=ASK_FIRST)
    run = world.carry_on(world.start())
    request = world.pending(run)
    assert request.expires_at - request.requested_at == timedelta(minutes=15)

    assert expire_due(now=request.expires_at - timedelta(seconds=1)) == 0
    assert expire_due(now=request.expires_at) == 1
    run = world.carry_on(run)

    assert world.calls(run) == [("pay", "expired")]
    assert tools.effects() == []
    assert "Nobody decided about this call in time" in model.requests[-1].messages[-1].text


@pytest.mark.req("APR-4")
def test_a_decision_after_the_time_limit_is_refused_even_before_the_sweeper_came(play: Play) -> None:
    play([call("pay", account="acme", amount=40)])
    world.publish_agent()
    request = world.pending(world.carry_on(world.start()))
    Approval.objects.filter(pk=request.pk).update(expires_at=timezone.now())
    with pytest.raises(AlreadyResolved, match="time to decide this ended"):
        decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)


@pytest.mark.req("APR-3", "RUN-1")
def test_parallel_calls_are_decided_apart_and_siblings_run_at_once(play: Play) -> None:
    play(
        [
            together(
                call("get_balance", account="acme"),
                call("pay", account="acme", amount=40),
                call("add_note", text="seen"),
                call("pay", account="globex", amount=5),
            ),
            say("Done."),
        ]
    )
    world.publish_agent(policy=[{"tool": "add_note", "then": "allow"}])
    run = world.carry_on(world.start())
    assert [status for _, status in world.calls(run)] == [
        "succeeded",
        "pending_approval",
        "succeeded",
        "pending_approval",
    ]
    first, second = Approval.objects.filter(run_id=run.pk).order_by("requested_at", "id")
    decide(approval_id=second.pk, actor=world.operator(), decision="approve", digest=second.digest)
    run = world.carry_on(run)
    assert run.status == "waiting_approval"
    assert [status for _, status in world.calls(run)][1::2] == ["pending_approval", "succeeded"]
    decide(approval_id=first.pk, actor=world.operator(), decision="reject", digest=first.digest, reason="no")
    run = world.carry_on(run)
    assert run.status == "completed"
    assert [line.split()[0] for line in tools.effects()] == ["add_note", "pay"]


@pytest.mark.req("APR-5")
def test_a_quorum_needs_different_people_and_an_edit_resets_it(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Paid.")])
    world.publish_agent(policy=[{"tool": "pay", "then": "require", "approvers": 2}])
    run = world.carry_on(world.start())
    request = world.pending(run)
    ana, ben, cleo = (world.operator(name) for name in ("ana", "ben", "cleo"))

    def approve(actor: Actor, digest: str) -> Approval:
        return decide(approval_id=request.pk, actor=actor, decision="approve", digest=digest)

    assert approve(ana, request.digest).status == "pending"
    with pytest.raises(AlreadyResolved, match="1 more must"):
        approve(ana, request.digest)
    arguments = {"account": "acme", "amount": 30}
    edited = decide(
        approval_id=request.pk, actor=ben, decision="edit", digest=request.digest, arguments=arguments
    )
    assert edited.status == "pending"
    with pytest.raises(Stale):
        approve(cleo, request.digest)
    assert approve(cleo, edited.digest).status == "approved"
    assert world.carry_on(run).status == "completed"
    assert [line.split()[3] for line in tools.effects()] == ["30.0"]


@pytest.mark.req("APR-4")
def test_a_policy_that_became_stricter_holds_for_what_was_approved(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Not paid.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    world.publish_agent(policy=[{"tool": "pay", "then": "deny"}])
    run = world.carry_on(run)
    assert world.calls(run) == [("pay", "denied")]
    assert tools.effects() == []


@pytest.mark.req("APR-4", "APR-5")
def test_a_policy_that_asks_more_people_now_asks_them(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Paid.")])
    world.publish_agent(policy=[{"tool": "pay", "then": "require"}])
    run = world.carry_on(world.start())
    first = world.pending(run)
    decide(approval_id=first.pk, actor=world.operator(), decision="approve", digest=first.digest)
    world.publish_agent(policy=[{"tool": "pay", "then": "require", "approvers": 2}])
    run = world.carry_on(run)
    assert run.status == "waiting_approval"
    second = world.pending(run)
    assert (second.pk != first.pk, second.approvers) == (True, 2)
    assert tools.effects() == []


@pytest.mark.req("APR-4")
def test_an_approval_that_is_too_old_no_longer_holds(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Too late.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    Approval.objects.filter(pk=request.pk).update(resolved_at=timezone.now() - timedelta(hours=2))
    run = world.carry_on(run)
    assert world.calls(run) == [("pay", "expired")]
    assert tools.effects() == []


@pytest.mark.req("APR-4")
def test_what_was_tampered_with_after_the_approval_does_not_run(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Strange.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    Approval.objects.filter(pk=request.pk).update(arguments={"account": "acme", "amount": 4000})
    run = world.carry_on(run)
    assert world.calls(run) == [("pay", "denied")]
    assert tools.effects() == []


@pytest.mark.req("APR-4", "APR-5")
def test_an_edit_into_an_admins_range_needs_an_admin(play: Play) -> None:
    play([call("pay", account="acme", amount=20), say("Paid.")])
    policy = [{"tool": "pay", "when": "arguments.amount > 100.0", "then": "require", "role": "admin"}]
    world.publish_agent(policy=policy)
    run = world.carry_on(world.start())
    request = world.pending(run)
    arguments = {"account": "acme", "amount": 400}

    def edit(actor: Actor) -> Approval:
        return decide(
            approval_id=request.pk, actor=actor, decision="edit", digest=request.digest, arguments=arguments
        )

    with pytest.raises(NotAllowed, match="admin"):
        edit(world.operator())
    request.refresh_from_db()
    assert (request.revision, request.role, request.arguments["amount"]) == (1, "operator", 20)
    edit(Actor(user=world.person("ada", "admin")))
    assert world.carry_on(run).status == "completed"


@pytest.mark.req("APR-4", "APR-5")
def test_a_policy_that_asks_an_admin_now_is_not_content_with_an_operator(play: Play) -> None:
    play([call("pay", account="acme", amount=30), say("Paid.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    world.publish_agent(policy=[{"tool": "pay", "then": "require", "role": "admin"}])
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    run = world.carry_on(run)
    assert tools.effects() == []
    assert (run.status, world.pending(run).role) == ("waiting_approval", "admin")


@pytest.mark.req("APR-4")
def test_approving_with_other_arguments_is_refused(play: Play) -> None:
    play([call("pay", account="acme", amount=30)])
    world.publish_agent()
    request = world.pending(world.carry_on(world.start()))
    with pytest.raises(Invalid, match="decide `edit`"):
        decide(
            approval_id=request.pk,
            actor=world.operator(),
            decision="approve",
            digest=request.digest,
            arguments={"account": "acme", "amount": 99},
        )
