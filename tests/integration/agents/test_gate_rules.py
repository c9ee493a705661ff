"""What rules ask beside a number of people: other roles, a second pair of eyes, time to recall, nothing changed; and grants."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from agents.actions import cancel_run, publish
from agents.decisions import decide
from agents.models import Run, ToolCall
from agents.providers.scripted import call, say
from agents.rulebook import coverage, try_out
from agents.runtime import claiming, execution, granted
from agents.runtime.recovery import sweep
from approvals import grants
from approvals.access import Actor
from approvals.exceptions import AlreadyResolved, Missing, NotAllowed
from approvals.halts import halt, lift_halt
from approvals.holds import recall, release_due
from approvals.models import Approval, Grant, GrantUse
from approvals.policy import Outcome, Rule
from approvals.proposals import proposals, propose
from approvals.settling import expire_due
from tests import tools, world
from tests.drifting import RATES
from tests.integration.agents.conftest import Play
from traces.models import Event

pytestmark = pytest.mark.django_db(transaction=True)

PAY = call("pay", account="acme", amount=40)


@pytest.fixture(autouse=True)
def four_eyes(settings: Any) -> None:
    settings.FOUR_EYES = True


@pytest.fixture(autouse=True)
def rates() -> Iterator[None]:
    """As they are at the beginning."""
    RATES.update(acme=1.5)
    yield
    RATES.update(acme=1.5)


def asked(play: Play, *script: Any, started_by: Any = None, **changes: Any) -> tuple[Run, Approval]:
    """A run that waits for people about the payment that it wants to make."""
    play(list(script) or [PAY, say("Paid.")])
    world.publish_agent(**changes)
    run = world.carry_on(world.start(started_by=started_by, trusted_input=True))
    return run, world.pending(run)


def say_yes(request: Approval, actor: Actor) -> Approval:
    return decide(approval_id=request.pk, actor=actor, decision="approve", digest=request.digest)


def events(name: str) -> int:
    return Event.objects.filter(name=name).count()


def admin(name: str = "ada") -> Actor:
    return Actor(world.person(name, "admin"))


# Who must agree


@pytest.mark.req("APR-5")
def test_one_each_of_two_roles(play: Play) -> None:
    run, request = asked(play, policy=[{"tool": "pay", "then": "require", "roles": ["operator", "admin"]}])
    assert request.approvers == 2
    assert say_yes(request, world.operator("ana")).status == "pending"
    assert say_yes(request, world.operator("ben")).status == "pending"
    assert tools.effects() == []
    assert say_yes(request, admin()).status == "approved"
    assert world.carry_on(run).status == "completed"


@pytest.mark.req("APR-4", "APR-5")
def test_who_started_the_run_is_not_its_only_approver(play: Play) -> None:
    ana = world.operator("ana")
    run, request = asked(play, started_by=ana.user)
    assert say_yes(request, ana).status == "pending"
    with pytest.raises(AlreadyResolved, match="somebody else must say yes too, since ana started the run"):
        say_yes(request, ana)
    assert say_yes(request, world.operator("ben")).status == "approved"
    assert world.carry_on(run).status == "completed"


@pytest.mark.req("APR-4", "APR-5")
def test_who_published_the_agent_is_not_the_only_approver(play: Play) -> None:
    ada = admin()
    play([PAY, say("Paid.")])
    config = world.publish_agent().config | {"purpose": "Pays what is owed, in time."}
    publish(name="teller", config=config, actor=ada.user)
    request = world.pending(world.carry_on(world.start(trusted_input=True)))
    assert request.terms.stakes == [{"user": ada.user.pk, "name": "ada", "why": "published the agent last"}]
    assert say_yes(request, ada).status == "pending"
    assert say_yes(request, world.operator()).status == "approved"


@pytest.mark.req("APR-5")
def test_a_single_operator_is_enough_where_the_installation_says_so(
    play: Play, settings: LazySettings
) -> None:
    settings.SINGLE_OPERATOR = True
    ana = world.operator("ana")
    run, request = asked(play, started_by=ana.user)
    arguments = {"account": "acme", "amount": 30}
    decide(approval_id=request.pk, actor=ana, decision="edit", digest=request.digest, arguments=arguments)
    alone = Event.objects.get(name="approval.approved_alone")
    assert (alone.actor, alone.data["why"]) == ("user:ana", "ana changed it")
    assert world.carry_on(run).status == "completed"


@pytest.mark.req("APR-5")
def test_two_who_agree_are_not_recorded_as_alone(play: Play, settings: LazySettings) -> None:
    settings.SINGLE_OPERATOR = True
    _, request = asked(play)
    assert say_yes(request, world.operator("ben")).status == "approved"
    assert events("approval.approved_alone") == 0


@pytest.mark.req("APR-1", "APR-5")
def test_when_nobody_is_left_who_could_approve_it_says_so_and_expires(play: Play) -> None:
    ana = world.operator("ana")
    _, request = asked(play, policy=[{"tool": "pay", "then": "require", "approvers": 2}])
    told = "it needs 2 people with the role operator, and there is ana."
    assert told in request.terms.lacking
    assert told in Event.objects.get(name="approval.unapprovable").data["why"]
    say_yes(request, ana)
    assert expire_due(now=request.expires_at) == 1
    assert told in Event.objects.get(name="approval.expired").data["why"]
    assert tools.effects() == []


@pytest.mark.req("APR-5")
def test_a_threshold_of_denials(play: Play) -> None:
    run, request = asked(play, policy=[{"tool": "pay", "then": "require", "denials": 2}])
    ana, ben = world.operator("ana"), world.operator("ben")

    def say_no(actor: Actor) -> Approval:
        return decide(
            approval_id=request.pk, actor=actor, decision="reject", digest=request.digest, reason="No."
        )

    assert say_no(ana).status == "pending"
    assert say_no(ana).status == "pending"  # one person is one no
    assert say_yes(request, ana).status == "approved"  # and may change their mind
    assert [vote.approve for vote in request.votes.all()] == [True]
    run2, request = asked(play, policy=[{"tool": "pay", "then": "require", "denials": 2}])
    assert say_no(ana).status == "pending"
    assert say_no(ben).status == "denied"
    assert world.calls(world.carry_on(run2)) == [("pay", "denied")]
    assert run.pk != run2.pk


@pytest.mark.req("APR-4", "APR-5")
def test_a_policy_that_asks_another_role_now_is_not_content_with_who_decided(play: Play) -> None:
    run, request = asked(play, policy=[{"tool": "pay", "then": "require", "approvers": 2}])
    say_yes(request, world.operator("ana"))
    say_yes(request, world.operator("ben"))
    world.publish_agent(policy=[{"tool": "pay", "then": "require", "roles": ["operator", "admin"]}])
    run = world.carry_on(run)
    assert run.status == "waiting_approval"
    assert world.pending(run).terms.roles == ["operator", "admin"]
    assert tools.effects() == []


# Time to recall


HELD = [{"tool": "pay", "then": "require", "hold": "30s"}]


@pytest.mark.req("APR-3", "APR-4")
def test_an_approval_is_held_and_then_runs(play: Play) -> None:
    run, request = asked(play, policy=HELD)
    ana = world.operator("ana")
    assert say_yes(request, ana).status == "pending"
    with pytest.raises(AlreadyResolved, match="ana approved this already"):
        say_yes(request, world.operator("ben"))
    assert world.carry_on(run).status == "waiting_approval"
    assert tools.effects() == []
    assert release_due(now=timezone.now()) == 0
    assert expire_due(now=request.expires_at + timedelta(days=1)) == 0  # it was decided in time
    sweep(now=timezone.now() + timedelta(seconds=31))
    request.refresh_from_db()
    assert (request.status, request.decision.user.username) == ("approved", "ana")
    assert world.carry_on(run).status == "completed"
    assert len(tools.effects()) == 1


@pytest.mark.req("APR-3", "APR-4")
def test_a_held_approval_is_recalled_by_anybody_who_may_decide(play: Play) -> None:
    run, request = asked(play, policy=HELD)
    say_yes(request, world.operator("ana"))
    with pytest.raises(NotAllowed):
        recall(request.pk, actor=Actor(world.person("amir", "analyst")), now=timezone.now())
    recall(request.pk, actor=world.operator("ben"), now=timezone.now(), reason="Wrong account.")
    with pytest.raises(AlreadyResolved):
        recall(request.pk, actor=world.operator("ana"), now=timezone.now())
    assert release_due(now=timezone.now() + timedelta(minutes=1)) == 0
    run = world.carry_on(run)
    assert world.calls(run) == [("pay", "denied")]
    assert "recalled: Wrong account" in ToolCall.objects.get(tool="pay").result["message"]  # type: ignore[index]
    assert events("approval.recalled") == 1


# What it rests on


DRIFTING = {"tools": [{"python": "tests.drifting.convert"}, {"python": "tests.drifting.get_rate"}]}


@pytest.mark.req("APR-4")
def test_what_changed_since_it_was_asked_is_asked_again(play: Play) -> None:
    run, request = asked(play, call("convert", account="acme"), say("Done."), **DRIFTING)
    assert request.terms.fingerprint == {"value": {"rate": 1.5}}
    say_yes(request, world.operator())
    RATES["acme"] = 2.5
    run = world.carry_on(run)
    assert run.status == "waiting_approval"
    again = world.pending(run)
    assert "rate was 1.5 and is 2.5 now" in again.rule
    assert tools.effects() == []
    say_yes(again, world.operator())
    assert world.carry_on(run).status == "completed"
    assert len(tools.effects()) == 1


@pytest.mark.req("APR-4")
def test_what_can_not_be_read_again_is_asked_again_and_what_is_as_it_was_runs(play: Play) -> None:
    run, request = asked(play, call("convert", account="acme"), say("Done."), **DRIFTING)
    say_yes(request, world.operator())
    del RATES["acme"]
    run = world.carry_on(run)
    again = world.pending(run)
    assert "can't tell any more what it rests on" in again.rule
    RATES["acme"] = 1.5
    say_yes(again, world.operator())
    run = world.carry_on(run)
    assert "could not be read before" in world.pending(run).rule
    say_yes(world.pending(run), world.operator())
    assert world.carry_on(run).status == "completed"


# Grants


SCOPE: dict[str, dict[str, Any]] = {
    "account": {"is": "equal", "value": "acme"},
    "amount": {"is": "at_most", "value": 50},
}


def grant_from(request: Approval, actor: Actor | None = None, **values: Any) -> Grant:
    grant = grants.grant_from_card(
        request.pk,
        actor=actor or world.operator(),
        digest=request.digest,
        scope=SCOPE,
        now=timezone.now(),
        **{"uses": 2, "seconds": 3600} | values,
    )
    assert grant is not None
    return grant


@pytest.mark.req("APR-6")
def test_a_grant_lets_calls_through_until_it_is_used_up(play: Play) -> None:
    run, request = asked(play, PAY, say("Paid."), PAY, say("Paid."), PAY, say("Paid."), PAY, say("Paid."))
    grant = grant_from(request)
    say_yes(request, world.operator())
    assert world.carry_on(run).status == "completed"
    for _ in range(2):
        again = world.carry_on(world.start(trusted_input=True))
        assert again.status == "completed"
        paid = ToolCall.objects.get(run=again)
        assert paid.rule.startswith(f"Grant {str(grant.pk)[-6:]} by ana")
        assert paid.approval is None
    assert world.carry_on(world.start(trusted_input=True)).status == "waiting_approval"
    assert len(tools.effects()) == 3
    assert Approval.objects.count() == 2  # no decision of a person is counted for what a grant let through


@pytest.mark.req("APR-6")
@pytest.mark.parametrize("end", ["revoked", "halted", "expired"])
def test_a_grant_that_ended_between_judgement_and_claim_asks_people(play: Play, end: str) -> None:
    play([PAY, PAY, say("Paid.")])
    world.publish_agent()
    first = world.carry_on(world.start(trusted_input=True))
    grant = grant_from(world.pending(first))
    run = world.start(trusted_input=True)
    original, ben = claiming.claim, world.operator("ben")

    def claim(*args: Any) -> bool:
        match end:
            case "revoked":
                grants.revoke(grant.pk, actor=ben, now=timezone.now())
            case "halted":
                halt(actor=ben, now=timezone.now(), agent="teller")
                lift_halt(
                    actor=Actor(user=world.person("cleo", "operator")), now=timezone.now(), agent="teller"
                )
            case _:
                Grant.objects.filter(pk=grant.pk).update(expires_at=timezone.now())
        patch.undo()
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "claim", claim)
        run = world.carry_on(run)
    assert run.status == "waiting_approval"
    assert tools.effects() == []
    assert world.calls(run) == [("pay", "pending_approval")]
    assert not GrantUse.objects.filter(returned_at=None).exists()


@pytest.mark.req("APR-6", "APR-4")
def test_the_statement_that_claims_sees_a_grant_that_has_just_ended(play: Play) -> None:
    play([PAY, PAY, say("Paid.")])
    world.publish_agent()
    grant = grant_from(world.pending(world.carry_on(world.start(trusted_input=True))))
    original = claiming.holding

    def holding(*args: Any) -> Any:
        conditions = original(*args)
        if patch_once:
            patch_once.pop()
            grants.revoke(grant.pk, actor=world.operator("ben"), now=timezone.now())
        return conditions

    patch_once = [True]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claiming, "holding", holding)
        run = world.carry_on(world.start(trusted_input=True))
    assert run.status == "waiting_approval"
    assert tools.effects() == []


@pytest.mark.req("APR-6")
def test_a_place_comes_back_when_the_run_ends_before_its_call(play: Play) -> None:
    play([PAY, PAY, say("Paid.")])
    world.publish_agent()
    grant = grant_from(world.pending(world.carry_on(world.start(trusted_input=True))))
    run = world.start(trusted_input=True)
    original = execution.execute_once

    def execute(*args: Any) -> None:
        cancel_run(run_id=run.pk, actor=world.operator())
        original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "execute_once", execute)
        assert world.carry_on(run).status == "cancelled"
    grant.refresh_from_db()
    assert (grant.used, tools.effects()) == (0, [])


@pytest.mark.req("APR-6")
def test_a_place_whose_call_was_never_stored_comes_back(play: Play) -> None:
    _, request = asked(play)
    grant = grant_from(request)
    long_ago = timezone.now() - timedelta(hours=1)
    GrantUse.objects.create(grant=grant, call_id=grant.pk, digest="d", taken_at=long_ago)
    Grant.objects.filter(pk=grant.pk).update(used=1)
    assert granted.free_unclaimed(now=timezone.now()) == 1
    grant.refresh_from_db()
    assert grant.used == 0


@pytest.mark.req("APR-6")
def test_history_proposes_a_grant_and_counts_the_rejected_honestly(play: Play) -> None:
    amounts = [10, 20, 30, 40, 50, 10, 20, 30, 40, 50, 25]
    script = [step for amount in amounts for step in (call("pay", account="acme", amount=amount), say("Ok."))]
    play(script)
    world.publish_agent()
    ana = world.operator()
    for amount in amounts:
        run = world.carry_on(world.start(trusted_input=True))
        request = world.pending(run)
        verdict = {"decision": "reject", "reason": "No."} if amount == 25 else {"decision": "approve"}
        decide(approval_id=request.pk, actor=ana, digest=request.digest, **verdict)  # type: ignore[arg-type]
        world.carry_on(run)
    (found,) = proposals(now=timezone.now())
    assert found.told == "would have covered 11 of 11, among them 1 that were rejected"
    assert found.in_words == ["account is acme", "amount at most 50"]
    offer = propose("teller", "pay", uses=5, seconds=3600, now=timezone.now())
    grant = grants.give(offer, actor=ana, now=timezone.now())
    assert grant.live_at is None  # it covers one that was rejected: a second person must agree
    assert grants.confirm(grant.pk, actor=world.operator("ben"), now=timezone.now()).live_at
    with pytest.raises(Missing):
        propose("teller", "pay_once", uses=5, seconds=3600, now=timezone.now())


# Rules as a whole


@pytest.mark.req("APR-5")
def test_a_draft_is_tried_on_past_calls(play: Play) -> None:
    run, request = asked(play, call("get_balance", account="acme"), PAY, say("Paid."))
    say_yes(request, world.operator())
    world.carry_on(run)
    draft = [Rule(Outcome.ALLOW, tool="pay", when="arguments.amount <= 50.0")]
    trial = try_out("teller", [], draft)
    assert trial.calls == 2
    assert trial.counts == {("allowed", "allowed"): 1, ("asked", "allowed"): 1}
    assert trial.people == {("allowed", "people approved it"): 1}
    (changed,) = trial.changed
    assert (changed.call.tool, changed.words) == ("pay", ("asked", "allowed"))


@pytest.mark.req("APR-5")
def test_the_coverage_names_tools_without_a_rule() -> None:
    world.publish_agent(
        policy=[
            {"tool": "pay", "when": "arguments.amount < 5.0", "then": "allow"},
            {"tool": "pay_once", "then": "deny"},
        ]
    )
    found = {cover.tool: (len(cover.rules), cover.default) for cover in coverage()}
    assert found["pay"] == (1, "one operator is asked")
    assert found["pay_once"] == (1, "")
    assert found["get_balance"] == (0, "reads are allowed")
