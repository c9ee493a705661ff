"""Grants under everybody's hands at once: as many places as it has, and not one claim after it was revoked."""

import threading
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from approvals import grants
from approvals.access import Actor
from approvals.exceptions import AlreadyResolved, Invalid, NotAllowed
from approvals.grants import Offer, confirm, give, revoke
from approvals.halts import halt
from approvals.models import Grant, GrantUse
from approvals.places import give_back, still_granted, take_place
from approvals.policy import Action, Outcome, Verdict
from tests import world
from tests.racing import Race, at_once
from traces.ids import new_id
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-6")]

ASKED = Verdict(Outcome.REQUIRE, "rule", "why")
UP_TO_50 = {"amount": {"is": "at_most", "value": 50}, "account": {"is": "equal", "value": "acme"}}


def offer(**changes: Any) -> Offer:
    values: dict[str, Any] = {
        "agent": "teller",
        "tool": "pay",
        "tool_digest": "t" * 64,
        "scope": UP_TO_50,
        "uses": 10,
        "seconds": 3600,
    }
    return Offer(**values | changes)


def made(**values: Any) -> Grant:
    return give(offer(**values), actor=world.operator(), now=timezone.now())


def take(call_id: Any = None, *, verdict: Verdict = ASKED, **values: Any) -> Grant | None:
    """A place for a call, as the judge takes one."""
    known = {
        "tool_digest": "t" * 64,
        "digest": "d" * 64,
        "stakes": [],
        "four_eyes": True,
        "now": timezone.now(),
    }
    others = {name: values.pop(name) for name in list(values) if name in known}
    action = {
        "tool": "pay",
        "effect": "irreversible",
        "agent": "teller",
        "arguments": {"account": "acme", "amount": 5},
    }
    return take_place(Action(**action | values), verdict, call_id=call_id or new_id(), **known | others)  # type: ignore[arg-type]


def test_of_forty_calls_at_once_exactly_ten_find_a_place() -> None:
    grant = made()
    taken = at_once(*(take for _ in range(40)))
    assert sum(found is not None for found in taken) == 10, taken
    grant.refresh_from_db()
    assert grant.used == GrantUse.objects.filter(grant=grant, returned_at=None).count() == 10


def test_a_budget_is_never_overspent_by_calls_at_once() -> None:
    grant = made(uses=100, budget_of="amount", budget=50)
    taken = at_once(*(partial(take, arguments={"account": "acme", "amount": 7}) for _ in range(20)))
    assert sum(found is not None for found in taken) == 7
    grant.refresh_from_db()
    assert grant.spent == 49


def test_a_place_that_is_given_back_by_two_is_free_once() -> None:
    grant, call_id = made(uses=2), new_id()
    assert take(call_id) == take() == grant
    assert take() is None
    assert sorted(at_once(*(partial(give_back, call_id, now=timezone.now()) for _ in range(6)))) == [
        False
    ] * 5 + [True]
    assert take() == grant
    assert take() is None


def test_a_call_that_is_judged_again_keeps_its_one_place() -> None:
    grant, call_id = made(uses=1), new_id()
    assert take(call_id) == take(call_id) == grant
    grant.refresh_from_db()
    assert grant.used == 1


@pytest.mark.parametrize(
    "values",
    [
        {"arguments": {"account": "acme", "amount": 51}},
        {"arguments": {"account": "globex", "amount": 5}},
        {"arguments": {"account": "acme", "amount": 5, "approved": True}},
        {"tainted": True},
        {"agent": "other"},
        {"tool": "pay_once"},
        {"tool_digest": "x" * 64},
        {"verdict": Verdict(Outcome.REQUIRE, "rule", "why", approvers=2)},
        {"verdict": Verdict(Outcome.REQUIRE, "rule", "why", role="admin")},
        {"verdict": Verdict(Outcome.REQUIRE, "rule", "why", 2, roles=("operator", "admin"))},
        {"verdict": Verdict(Outcome.REQUIRE, "rule", "why", hold=30)},
        {"now": timezone.now() + timedelta(hours=2)},
    ],
)
def test_what_a_grant_does_not_cover(values: dict[str, Any]) -> None:
    made()
    assert take(**values) is None
    assert take() is not None


def test_a_grant_for_one_subject_is_for_no_other() -> None:
    made(subject={"customer": "C-1"})
    assert take(subject={"customer": "C-2"}) is None
    assert take() is None
    assert take(subject={"customer": "C-1"}) is not None


def test_who_has_a_stake_in_the_call_is_not_enough_as_its_only_giver() -> None:
    made()
    ana = world.operator().user.pk
    assert take(stakes=[(ana, "started the run")]) is None
    assert take(stakes=[(ana, "started the run")], four_eyes=False) is not None


def test_a_rule_that_asks_two_needs_two_for_the_grant() -> None:
    grant = made(approvers=2)
    two = Verdict(Outcome.REQUIRE, "rule", "why", approvers=2)
    assert grant.live_at is None
    assert take(verdict=two) is None
    with pytest.raises(AlreadyResolved, match="somebody else"):
        confirm(grant.pk, actor=world.operator(), now=timezone.now())
    with pytest.raises(NotAllowed):
        confirm(grant.pk, actor=Actor(world.person("amir", "analyst")), now=timezone.now())
    assert confirm(grant.pk, actor=world.operator("ben"), now=timezone.now()).live_at is not None
    assert take(verdict=two) == grant


def test_nobody_grants_what_they_could_not_decide_or_without_end() -> None:
    refused: list[tuple[Actor, dict[str, Any], type[Exception]]] = [
        (world.operator(), {"role": "admin"}, NotAllowed),
        (Actor(world.person("shop", "service")), {}, NotAllowed),
        (world.operator(), {"seconds": 31 * 86400}, Invalid),
        (world.operator(), {"seconds": 0}, Invalid),
        (world.operator(), {"seconds": float("nan")}, Invalid),
        (world.operator(), {"uses": 0}, Invalid),
        (world.operator(), {"budget_of": "amount", "budget": -1}, Invalid),
        (world.operator(), {"budget_of": "other", "budget": 5}, Invalid),
        (world.operator(), {"scope": {"amount": {"is": "like"}}}, Invalid),
    ]
    for actor, change, error in refused:
        with pytest.raises(error):
            give(offer(**change), actor=actor, now=timezone.now())
    assert not Grant.objects.exists()


def test_an_emergency_stop_ends_the_grants_that_it_stops() -> None:
    made()
    made(agent="other")
    halt(actor=world.operator("ben"), now=timezone.now(), agent="teller", reason="Smoke.")
    assert take() is None
    assert take(agent="other") is not None
    assert Event.objects.filter(name="grant.revoked").count() == 1
    assert [grant.agent for grant in grants.over(timezone.now())] == ["teller"]


def test_a_claim_that_saw_the_grant_is_over_before_its_revocation_is() -> None:
    grant, call_id = made(), new_id()
    take(call_id)
    condition = still_granted(call_id, "d" * 64, timezone.now())
    claimed, go_on = threading.Event(), threading.Event()

    def claim() -> bool:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT {condition.sql}", condition.params)
            (stands,) = cursor.fetchone()
            claimed.set()
            assert go_on.wait(10)
        return bool(stands)

    claiming = Race(claim)
    assert claimed.wait(10)
    revoking = Race(partial(revoke, grant.pk, actor=world.operator("ben"), now=timezone.now()))
    assert not revoking.is_over
    go_on.set()
    assert claiming.outcome() is True
    assert revoking.outcome() == grant
    assert Race(claim).outcome() is False
    assert take(call_id) is None


def test_a_grant_is_revoked_while_calls_take_places() -> None:
    ben = world.operator("ben")
    for _ in range(20):
        grant = made(uses=100)
        *_, revoked = at_once(
            *(take for _ in range(6)), partial(revoke, grant.pk, actor=ben, now=timezone.now())
        )
        assert revoked == grant
        assert take() is None
        grant.refresh_from_db()
        assert grant.used == GrantUse.objects.filter(grant=grant, returned_at=None).count()
