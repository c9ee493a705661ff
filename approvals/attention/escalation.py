"""When nobody answers: the next in the chain is told, until somebody decides."""

from datetime import datetime, timedelta

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Q

from approvals.access import Actor, may_decide
from approvals.attention.care import assign, care_for_update
from approvals.attention.duty import on_duty, stand_in
from approvals.attention.models import Care, EscalationStep, Unless
from approvals.models import Approval
from approvals.states import ApprovalStatus
from approvals.viewing import views_of
from traces.recorder import record


def escalate_due(*, now: datetime, limit: int = 200) -> int:
    """Take the steps of the chain whose time has come. Returns how many requests moved on."""
    chain = list(EscalationStep.objects.select_related("user"))
    if not chain:
        return 0
    first, last = min(step.minutes for step in chain), chain[-1].position
    waiting = Approval.objects.filter(
        Q(care=None) | Q(care__step__lt=last),
        status=ApprovalStatus.PENDING,
        requested_at__lte=now - timedelta(minutes=first),
        expires_at__gt=now,
        canary=None,  # nobody is called out for a test
    )
    moved = 0
    for approval_id in waiting.order_by("requested_at").values_list("pk", flat=True)[:limit]:
        with transaction.atomic():
            rows = Approval.objects.select_for_update(skip_locked=True)
            approval = rows.filter(pk=approval_id, status=ApprovalStatus.PENDING).first()
            if approval is not None and _move_on(approval, chain, now=now):
                moved += 1
    return moved


def _move_on(approval: Approval, chain: list[EscalationStep], *, now: datetime) -> bool:
    """Take the next step that is due and reaches somebody; those that reach nobody are passed over, and recorded."""
    care = care_for_update(approval)
    for step in chain:
        if step.position <= care.step:
            continue
        if step.unless == Unless.OPENED and views_of(approval):
            continue  # the next may be due all the same
        if approval.requested_at + timedelta(minutes=step.minutes) > now:
            return False
        reached = _people(step, approval, now=now)
        Care.objects.filter(pk=care.pk).update(step=step.position)
        record(
            "care.escalated" if reached else "care.passed_over",
            actor="system",
            object_id=approval.pk,
            run_id=approval.run_id,
            data={
                "step": step.position,
                "minutes": step.minutes,
                "role": step.role,
                "to": [user.get_username() for user in reached],
                "users": [user.pk for user in reached],
            },
        )
        if reached and step.user is not None:
            assign(care, approval, to=step.user, actor=None, now=now)
        if reached:
            return True
    return False


def _people(step: EscalationStep, approval: Approval, *, now: datetime) -> list[User]:
    """Who is told: on duty, or standing in for who is away, and allowed to decide it."""
    if step.user is not None:
        named = [step.user]
    else:
        group = Group.objects.filter(name=step.role)
        named = list(User.objects.filter(groups__in=group, is_active=True).order_by("pk"))
    stands = {user.pk: user for user in (stand_in(user, now=now) for user in named)}
    return [user for user in stands.values() if on_duty(user, now=now) and may_decide(Actor(user), approval)]
