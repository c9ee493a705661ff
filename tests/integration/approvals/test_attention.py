"""The people around a request: who has it, who saw it, who is next, and who stands in."""

import threading
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from approvals import deciding
from approvals.access import Actor
from approvals.attention import care, escalation
from approvals.attention.duty import covers, delegate, end_delegation, on_duty, stand_in
from approvals.attention.models import Care, Comment, DutyHours, EscalationStep, Watch
from approvals.exceptions import AlreadyResolved, Invalid, Missing, NotAllowed
from approvals.models import Approval, Kind
from approvals.requests import Request, request_approval
from approvals.viewing import note_view
from tests import world
from traces.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


def ask(**values: Any) -> Approval:
    wanted: dict[str, Any] = {
        "kind": Kind.ACTION,
        "title": "Pay",
        "tool": "pay",
        "arguments": {},
        "digest": "d" * 64,
    }
    return request_approval(Request(**wanted | values), actor="agent:teller", now=timezone.now())


def events(approval: Approval) -> list[str]:
    return list(
        Event.objects.filter(object_id=str(approval.pk)).order_by("pk").values_list("name", flat=True)
    )


@pytest.fixture
def ana() -> Actor:
    return world.operator("ana")


@pytest.fixture
def ben() -> Actor:
    return world.operator("ben")


@pytest.mark.req("APR-7")
def test_a_request_is_taken_let_go_and_taken_over(ana: Actor, ben: Actor) -> None:
    approval, now = ask(), timezone.now()
    care.take(approval.pk, actor=ana, held_by="", now=now)
    with pytest.raises(AlreadyResolved, match="ana took this meanwhile"):
        care.take(approval.pk, actor=ben, held_by="", now=now)
    with pytest.raises(NotAllowed):
        care.release(approval.pk, actor=ben, now=now)
    care.take(approval.pk, actor=ben, held_by="ana", now=now)
    care.release(approval.pk, actor=ben, now=now)
    assert Care.objects.get().holder is None
    assert events(approval) == ["approval.requested", "care.taken", "care.taken", "care.released"]
    deciding.approve(approval.pk, actor=ana, digest="d" * 64, now=now)
    with pytest.raises(AlreadyResolved, match="approved"):
        care.take(approval.pk, actor=ben, held_by="", now=now)


@pytest.mark.req("APR-7")
def test_of_many_who_take_it_at_once_one_has_it() -> None:
    approval = ask()
    people = [world.operator(f"p{number}") for number in range(6)]
    gate, won = threading.Barrier(len(people)), []

    def take(actor: Actor) -> None:
        gate.wait()
        try:
            care.take(approval.pk, actor=actor, held_by="", now=timezone.now())
            won.append(actor.user)
        except AlreadyResolved:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=(actor,)) for actor in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [Care.objects.get().holder] == won


@pytest.mark.req("APR-7")
def test_a_request_is_given_only_to_who_may_decide_it(ana: Actor, ben: Actor) -> None:
    approval, now = ask(role="admin"), timezone.now()
    with pytest.raises(Invalid, match="ben may not decide this"):
        care.give(approval.pk, to=ben.user, actor=ana, now=now)
    ada = world.person("ada", "admin")
    care.give(approval.pk, to=ada, actor=ana, now=now)
    held = Care.objects.get()
    assert (held.holder, held.given_by) == (ada, ana.user)
    with pytest.raises(NotAllowed):
        care.give(approval.pk, to=ada, actor=Actor(world.person("amir", "analyst")), now=now)


@pytest.mark.req("APR-7")
def test_having_a_request_keeps_nobody_else_from_deciding_it(ana: Actor, ben: Actor) -> None:
    approval, now = ask(), timezone.now()
    care.take(approval.pk, actor=ana, held_by="", now=now)
    assert deciding.approve(approval.pk, actor=ben, digest="d" * 64, now=now).status == "approved"


@pytest.mark.req("APR-7")
def test_a_comment_tells_those_it_names_and_makes_them_watch(ana: Actor, ben: Actor) -> None:
    world.person("amir", "analyst")
    world.person("robot", "service")
    User.objects.create(username="gone", is_active=False)
    approval, now = ask(), timezone.now()
    care.comment(approval.pk, actor=ana, text="@ben, @amir. See a@b.example @robot @gone @nobody", now=now)
    assert {watch.user.get_username() for watch in Watch.objects.select_related("user")} == {
        "ana",
        "ben",
        "amir",
    }
    told = Event.objects.get(name="comment.added").data["users"]
    assert set(told) == set(User.objects.filter(username__in=["ben", "amir"]).values_list("pk", flat=True))
    assert Comment.objects.get().text not in str(Event.objects.get(name="comment.added").data)
    with pytest.raises(Invalid):
        care.comment(approval.pk, actor=ana, text="  ", now=now)
    with pytest.raises(Invalid, match="at most 2,000"):
        care.comment(approval.pk, actor=ana, text="x" * 2001, now=now)
    with pytest.raises(NotAllowed):
        care.comment(approval.pk, actor=Actor(world.person("robot", "service")), text="hello", now=now)
    with pytest.raises(Missing):
        care.watch(uuid4(), actor=ana, on=True)


@pytest.mark.req("APR-7", "APR-8")
def test_what_expires_soon_is_said_once() -> None:
    short, long = ask(expires_in=100), ask(expires_in=3600)
    now = timezone.now()
    assert care.warn_of_ends(now=now + timedelta(seconds=70)) == 0
    assert care.warn_of_ends(now=now + timedelta(seconds=85)) == 1
    assert care.warn_of_ends(now=now + timedelta(seconds=86)) == 0
    assert "care.expiring" in events(short)
    assert care.warn_of_ends(now=now + timedelta(minutes=51)) == 1
    assert "care.expiring" in events(long)


@pytest.mark.req("APR-7")
def test_nobody_answers_and_the_next_in_the_chain_has_it(ana: Actor, ben: Actor) -> None:
    ada = world.person("ada", "admin")
    EscalationStep.objects.create(position=1, minutes=5, unless="opened", user=ben.user)
    EscalationStep.objects.create(position=2, minutes=10, role="admin")
    opened, left = ask(), ask()
    note_view(opened, actor=ana)
    now = timezone.now()
    assert escalation.escalate_due(now=now) == 0
    assert escalation.escalate_due(now=now + timedelta(minutes=6)) == 1
    assert escalation.escalate_due(now=now + timedelta(minutes=7)) == 0
    assert Care.objects.get(approval=left).holder == ben.user
    assert not Care.objects.filter(approval=opened, holder__isnull=False).exists()
    assert escalation.escalate_due(now=now + timedelta(minutes=11)) == 2
    assert escalation.escalate_due(now=now + timedelta(hours=0, minutes=30)) == 0
    told = Event.objects.filter(name="care.escalated", object_id=str(opened.pk)).get()
    assert (told.data["users"], told.data["role"]) == ([ada.pk], "admin")
    left.refresh_from_db()
    assert left.role == "operator"  # the chain tells; it takes nobody's right


@pytest.mark.req("APR-7")
def test_a_step_that_reaches_nobody_is_passed_over_and_recorded(ana: Actor, ben: Actor) -> None:
    far = (datetime.now(UTC).weekday() + 3) % 7
    DutyHours.objects.create(user=ben.user, weekdays=[far], begins=time(9), ends=time(10))
    EscalationStep.objects.create(position=1, minutes=5, user=ben.user)
    EscalationStep.objects.create(position=2, minutes=5, user=ana.user)
    approval = ask()
    assert escalation.escalate_due(now=timezone.now() + timedelta(minutes=6)) == 1
    assert Care.objects.get().holder == ana.user
    assert events(approval)[1:] == ["care.passed_over", "care.escalated", "care.assigned"]


@pytest.mark.req("APR-7")
def test_who_stands_in_gets_what_is_given_and_no_right_beyond_their_own(ana: Actor, ben: Actor) -> None:
    now = timezone.now()
    ada = world.person("ada", "admin")
    row = delegate(actor=Actor(ada), to=ben.user, begins_at=now, ends_at=now + timedelta(days=2), now=now)
    assert stand_in(ada, now=now) == ben.user
    care.give(ask().pk, to=ada, actor=ana, now=now)
    held = Care.objects.get()
    assert (held.holder, held.stands_in_for) == (ben.user, ada)
    with pytest.raises(Invalid, match="ben may not decide this"):
        care.give(ask(role="admin").pk, to=ada, actor=ana, now=now)
    delegate(actor=ben, to=ada, begins_at=now, ends_at=now + timedelta(days=1), now=now)
    assert stand_in(ada, now=now) == ben.user  # both away: it goes round once and no further
    with pytest.raises(NotAllowed):
        end_delegation(row.pk, actor=ana, now=now + timedelta(hours=1))
    end_delegation(row.pk, actor=Actor(ada), now=now + timedelta(hours=1))
    assert stand_in(ada, now=now + timedelta(hours=2)) == ada
    for to, ends in ((ada, now + timedelta(days=1)), (ben.user, now - timedelta(days=1))):
        with pytest.raises(Invalid):
            delegate(actor=Actor(ada), to=to, begins_at=now - timedelta(days=2), ends_at=ends, now=now)


@pytest.mark.req("APR-7")
@pytest.mark.parametrize(
    ("begins", "ends", "at", "wanted"),
    [
        (9, 17, (2026, 11, 20, 10), True),  # a Friday
        (9, 17, (2026, 11, 20, 17), False),
        (9, 17, (2026, 11, 21, 10), False),
        (22, 6, (2026, 11, 20, 23), True),
        (22, 6, (2026, 11, 21, 5), True),  # it began on Friday
        (22, 6, (2026, 11, 21, 23), False),
        (22, 6, (2026, 11, 20, 5), False),
    ],
)
def test_hours_of_duty_follow_the_clock_of_their_place(
    begins: int, ends: int, at: tuple[int, int, int, int], wanted: bool
) -> None:
    row = DutyHours(weekdays=[4], begins=time(begins), ends=time(ends), time_zone="Asia/Tokyo")
    assert covers(row, now=datetime(*at, tzinfo=UTC) - timedelta(hours=9)) is wanted


def test_who_has_no_hours_is_always_on_duty(ana: Actor) -> None:
    assert on_duty(ana.user, now=timezone.now())
