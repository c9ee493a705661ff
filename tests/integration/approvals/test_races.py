"""Several people, and the clock, at one request at the same moment: one outcome, and the others are told."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from agents.decisions import decide
from approvals.access import Actor
from approvals.deciding import approve
from approvals.exceptions import AlreadyResolved, Missing, Stale
from approvals.halts import halt, lift_halt
from approvals.models import Approval, Decision, Halt, Kind, Revision, Vote
from approvals.programs import ask_for_program
from approvals.requests import Request, request_approval
from approvals.revising import Edit
from approvals.settling import cancel_for_run, expire_due, withdraw
from tests import world
from tests.racing import at_once
from traces.ids import new_id
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-4")]

OUTCOMES = (
    "approval.approved",
    "approval.denied",
    "approval.expired",
    "approval.withdrawn",
    "approval.cancelled",
)


def ask(*, asker: Actor | None = None, expires_in: float = 900) -> Approval:
    """A program's request for a payment."""
    actor = asker or Actor(user=world.person("shop", "service"))
    return ask_for_program(
        actor=actor,
        tool=f"pay_{new_id().hex}",  # what was denied is not asked again
        arguments={"amount": 40},
        effect="reversible",  # so that one person is enough for an edit, too
        expires_in=expires_in,
        now=timezone.now(),
    )


def ask_two() -> Approval:
    """A request that two different people must approve."""
    request = Request(Kind.ACTION, "Pay", "pay", {"amount": 40}, "d" * 64, approvers=2)
    return request_approval(request, actor="system", now=timezone.now())


def outcomes(approval: Approval) -> list[str]:
    """The events that ended the request."""
    events = Event.objects.filter(object_id=str(approval.pk), name__in=OUTCOMES)
    return list(events.values_list("name", flat=True))


def winner(results: list[Any], *losing: type[Exception]) -> int:
    """Who won: all others got one of the exceptions `losing`."""
    won = [place for place, result in enumerate(results) if not isinstance(result, Exception)]
    assert len(won) == 1, results
    assert all(isinstance(result, losing) for place, result in enumerate(results) if place not in won), (
        results
    )
    return won[0]


def test_three_decide_at_once_and_one_decision_stands() -> None:
    people = [world.operator(name) for name in ("ana", "ben", "cleo")]
    firsts = set()
    for _ in range(200):
        asked = ask()
        say = partial(decide, approval_id=asked.pk, digest=asked.digest)
        results = at_once(
            partial(say, actor=people[0], decision="approve"),
            partial(say, actor=people[1], decision="reject", reason="Too much."),
            partial(say, actor=people[2], decision="edit", arguments={"amount": 30}),
        )
        first = winner(results, AlreadyResolved)
        firsts.add(first)
        stored = Approval.objects.get(pk=asked.pk)
        decision = Decision.objects.get(approval=asked)
        assert decision.user == people[first].user
        assert decision.verdict == ("approve", "reject", "edit")[first]
        assert decision.digest == stored.digest
        assert stored.status == ("approved", "denied", "approved")[first]
        assert stored.arguments == {"amount": 30 if first == 2 else 40}
        assert outcomes(asked) == [f"approval.{stored.status}"]
        told = (
            f"This was {stored.status} by {people[first].user} at {stored.resolved_at:%Y-%m-%d %H:%M:%S} UTC."
        )
        assert {str(result) for place, result in enumerate(results) if place != first} == {told}
    assert len(firsts) > 1, "It was no race."


def test_one_person_approves_twice_at_once() -> None:
    ana = world.operator()
    for _ in range(30):
        asked = ask()
        say = partial(decide, approval_id=asked.pk, actor=ana, decision="approve", digest=asked.digest)
        results = at_once(say, say)
        winner(results, AlreadyResolved)
        assert outcomes(asked) == ["approval.approved"]


def test_two_approvals_that_are_both_needed_come_at_once() -> None:
    people = [world.operator(name) for name in ("ana", "ben")]
    for _ in range(30):
        asked = ask_two()
        say = partial(decide, approval_id=asked.pk, decision="approve", digest=asked.digest)
        at_once(*(partial(say, actor=actor) for actor in people))
        assert outcomes(asked) == ["approval.approved"]
        assert Vote.objects.filter(approval=asked, approve=True).count() == 2


def test_an_edit_meets_an_approval_that_is_not_enough_alone() -> None:
    ana, ben = world.operator("ana"), world.operator("ben")
    edit = Edit({"amount": 30}, "e" * 64, "Pay less", {}, approvers=1, role="operator", rule="rule")
    stale = 0
    for _ in range(60):
        asked = ask_two()
        approved, edited = at_once(
            partial(approve, asked.pk, actor=ana, digest=asked.digest, now=timezone.now()),
            partial(approve, asked.pk, actor=ben, digest=asked.digest, now=timezone.now(), edit=edit),
        )
        assert not isinstance(edited, Exception)
        if isinstance(approved, Exception):
            assert isinstance(approved, Stale)
            at = Revision.objects.get(approval=asked, number=2).created_at
            assert f"ben changed this at {at:%Y-%m-%d %H:%M:%S} UTC" in str(approved)
            stale += 1
        stored = Approval.objects.get(pk=asked.pk)
        # Ana saw 40: her word never counts for 30.
        assert (stored.status, stored.revision, stored.arguments) == ("pending", 2, {"amount": 30})
        assert [vote.user for vote in Vote.objects.filter(approval=asked, revision=2)] == [ben.user]
    assert stale, "It was no race."


def test_a_request_expires_while_it_is_decided() -> None:
    ana, seen = world.operator(), set()
    for _ in range(60):
        asked = ask(expires_in=1)
        just_before, at_the_end = asked.expires_at - timedelta(milliseconds=1), asked.expires_at
        decided, _ = at_once(
            partial(approve, asked.pk, actor=ana, digest=asked.digest, now=just_before),
            partial(expire_due, now=at_the_end),
        )
        expire_due(now=at_the_end)
        status = Approval.objects.get(pk=asked.pk).status
        seen.add(status)
        assert outcomes(asked) == [f"approval.{status}"]
        assert Decision.objects.filter(approval=asked).exists() == (status == "approved")
        if status == "expired":
            assert isinstance(decided, AlreadyResolved)
            assert "expired" in str(decided)
    assert seen <= {"approved", "expired"}


def test_a_decision_that_comes_at_the_end_of_the_time_is_refused() -> None:
    asked = ask()
    with pytest.raises(AlreadyResolved, match="The time to decide this ended at"):
        approve(asked.pk, actor=world.operator(), digest=asked.digest, now=asked.expires_at)
    assert Approval.objects.get(pk=asked.pk).status == "pending"
    assert expire_due(now=asked.expires_at) == 1


def test_a_request_is_withdrawn_while_it_is_approved() -> None:
    ana, shop = world.operator(), Actor(user=world.person("shop", "service"))
    for _ in range(60):
        asked = ask(asker=shop)
        results = at_once(
            partial(decide, approval_id=asked.pk, actor=ana, decision="approve", digest=asked.digest),
            partial(withdraw, asked.pk, actor=shop, now=timezone.now()),
        )
        word = ("approved", "withdrawn")[winner(results, AlreadyResolved)]
        assert Approval.objects.get(pk=asked.pk).status == word
        assert outcomes(asked) == [f"approval.{word}"]
        assert any(f"This was {word}" in str(result) for result in results)


def test_a_run_ends_while_its_request_is_approved() -> None:
    ana = world.operator()
    for _ in range(60):
        run_id = new_id()
        request = Request(Kind.ACTION, "Pay", "pay", {"amount": 40}, "d" * 64, run_id=run_id)
        asked = request_approval(request, actor="system", now=timezone.now())
        approved, cancelled = at_once(
            partial(decide, approval_id=asked.pk, actor=ana, decision="approve", digest=asked.digest),
            partial(transaction.atomic(cancel_for_run), run_id, actor="system", now=timezone.now()),
        )
        assert cancelled in (0, 1)
        assert isinstance(approved, AlreadyResolved) == (cancelled == 1)
        assert outcomes(asked) == ["approval.cancelled" if cancelled else "approval.approved"]


@pytest.mark.req("APR-11")
def test_an_emergency_stop_pressed_by_two_is_one_stop() -> None:
    people = [world.operator(name) for name in ("ana", "ben")]
    for _ in range(30):
        pressed = at_once(*(partial(halt, actor=actor, now=timezone.now()) for actor in people))
        assert len({row.pk for row in pressed}) == 1
        assert Halt.objects.filter(lifted_at=None).count() == 1
        lifted = at_once(*(partial(lift_halt, actor=actor, now=timezone.now()) for actor in people))
        assert sum(isinstance(result, Missing) for result in lifted) == 1
        assert lifted.count(None) == 1
    assert Event.objects.filter(name="halt.pressed").count() == 30
    assert Event.objects.filter(name="halt.lifted").count() == 30
