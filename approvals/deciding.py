"""What a person can say at the gate. Each: lock, re-check, change, record; who hears of it hears after the commit."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from jsonschema import Draft202012Validator

from approvals.access import ADMIN, Actor, get_approval, require_may_decide
from approvals.exceptions import AlreadyResolved, Invalid, Stale
from approvals.eyes import lacking, needs_of, terms_of
from approvals.models import Approval, Hold, Kind, Revision, Vote
from approvals.queries import standing_hold
from approvals.revising import Edit, revise
from approvals.settling import record_about, require_pending, resolve, settle
from approvals.states import ApprovalStatus
from approvals.stepup.gate import require_step_up
from approvals.unmasking import unmask
from approvals.voting import voices_with, why_alone
from traces.statement import read


def approve(
    approval_id: UUID, *, actor: Actor, digest: str, now: datetime, reason: str = "", edit: Edit | None = None
) -> Approval:
    """Say yes to exactly what was shown, whose digest is `digest`; with `edit`, to that wording instead.

    An edit is a new revision: earlier votes no longer count. The request is approved once as many different
    people as it needs have said yes to the same revision, each role that it names among them, and not only such as
    have a stake in it (`approvals.eyes`). Where its rule holds it for a while, it stays pending for that long.
    Raises NotAllowed, StepUpNeeded, AlreadyResolved, Stale.
    """
    with transaction.atomic():
        approval = _lock_pending(approval_id, actor=actor, digest=digest, now=now)
        if approval.kind != Kind.ACTION:
            raise Invalid(f"Approval {approval.pk} is a {approval.kind}: answer it instead of approving.")
        terms = terms_of(approval)
        if edit is not None and edit.digest != approval.digest:
            revise(approval, terms, edit, actor=actor, now=now)
            require_may_decide(
                actor, approval
            )  # the new wording may need another role; if so, nothing is changed
        stepped_up = require_step_up(actor, approval, terms, now=now)
        proven = {"stepped_up": True} if stepped_up else {}
        votes = read(Vote, "approval_id = $1 AND revision = $2", approval.pk, approval.revision)
        mine = next((vote for vote in votes if vote.user_id == actor.user.pk), None)
        voices = voices_with([vote for vote in votes if vote.approve and vote is not mine], actor)
        needs = needs_of(approval, terms)
        missing, alone = lacking(voices, needs), ""
        if settings.SINGLE_OPERATOR:
            missing = lacking(voices, replace(needs, four_eyes=False))
            alone = "" if missing else why_alone(approval, voices, needs, actor)
        if missing and mine is not None and mine.approve:
            raise AlreadyResolved(f"You approved this already: {missing}.", status=approval.status)
        vote = Vote(
            approval=approval,
            revision=approval.revision,
            user=actor.user,
            approve=True,
            role=actor.speaks_as,
            stepped_up=stepped_up,
            cast_at=now,
        )
        if mine is not None:  # they said no before, where one no is not enough
            Vote.objects.filter(pk=mine.pk).update(
                approve=True, role=vote.role, stepped_up=stepped_up, cast_at=now
            )
        if missing:
            if mine is None:
                vote.save(force_insert=True)
            record_about(
                approval,
                "approval.voted",
                actor,
                {"votes": len(voices), "needed": needs.approvers, "missing": missing, "reason": reason}
                | proven,
            )
            return approval
        verdict = "edit" if approval.revision > 1 else "approve"
        added = () if mine is not None else (vote,)
        if terms.hold:
            for row in added:
                row.save(force_insert=True)
            until = now + timedelta(seconds=terms.hold)
            Hold.objects.create(
                approval=approval,
                until=until,
                user=actor.user,
                via=actor.via,
                verdict=verdict,
                reason=reason,
                alone=alone,
                begun_at=now,
            )
            record_about(
                approval,
                "approval.held",
                actor,
                {"until": until.isoformat(), "digest": approval.digest, "reason": reason} | proven,
            )
            return approval
        return resolve(
            approval,
            ApprovalStatus.APPROVED,
            actor=actor,
            verdict=verdict,
            reason=reason,
            now=now,
            votes=added,
            alone=alone,
            stepped_up=stepped_up,
        )


def reject(approval_id: UUID, *, actor: Actor, digest: str, reason: str, now: datetime) -> Approval:
    """Say no; the agent is told `reason`. One no is enough, unless the rule says more. Raises NotAllowed, AlreadyResolved, Stale."""
    with transaction.atomic():
        approval = _lock_pending(approval_id, actor=actor, digest=digest, now=now)
        if approval.kind == Kind.RECONCILE:
            raise Invalid(f"Approval {approval.pk} asks what happened: answer it instead of rejecting.")
        Vote.objects.update_or_create(
            approval=approval,
            revision=approval.revision,
            user=actor.user,
            defaults={"approve": False, "role": actor.speaks_as, "cast_at": now},
        )
        needed = terms_of(approval).denials
        if needed > 1:
            said = Vote.objects.filter(approval=approval, revision=approval.revision, approve=False).count()
            if said < needed:
                record_about(
                    approval,
                    "approval.voted_against",
                    actor,
                    {"votes": said, "needed": needed, "reason": reason},
                )
                return approval
        return resolve(approval, ApprovalStatus.DENIED, actor=actor, verdict="reject", reason=reason, now=now)


def answer(
    approval_id: UUID, *, actor: Actor, digest: str, answer: dict[str, Any], now: datetime, reason: str = ""
) -> Approval:
    """Answer a question, or say what became of a call. Raises Invalid where it does not fit the schema."""
    with transaction.atomic():
        approval = _lock_pending(approval_id, actor=actor, digest=digest, now=now)
        if approval.kind == Kind.ACTION:
            raise Invalid(f"Approval {approval.pk} is an action: approve, edit or reject it.")
        errors = [
            {"path": list(error.absolute_path), "message": error.message}
            for error in Draft202012Validator(approval.parameters).iter_errors(answer)
        ]
        if errors:
            raise Invalid(f"The answer does not fit: {errors[0]['message']}", errors=errors)
        return resolve(
            approval,
            ApprovalStatus.ANSWERED,
            actor=actor,
            verdict="answer",
            reason=reason,
            now=now,
            answer=answer,
        )


def escalate(approval_id: UUID, *, actor: Actor, digest: str, now: datetime, reason: str = "") -> Approval:
    """Pass the decision on to the admins; it stays pending, with its time limit."""
    with transaction.atomic():
        approval = _lock_pending(approval_id, actor=actor, digest=digest, now=now)
        approval.role = ADMIN
        Approval.objects.filter(pk=approval.pk).update(role=ADMIN)
        record_about(approval, "approval.escalated", actor, {"reason": reason})
        _end_test(approval, "escalate", actor=actor, now=now)  # it bothers nobody else
        return approval


def end_test(approval_id: UUID, word: str, *, actor: Actor, digest: str, now: datetime) -> bool:
    """End the planted test that this is, if it is one, by a word that decides no real request; whether it was."""
    with transaction.atomic():
        approval = _lock_pending(approval_id, actor=actor, digest=digest, now=now)
        return _end_test(approval, word, actor=actor, now=now)


def _end_test(approval: Approval, word: str, *, actor: Actor, now: datetime) -> bool:
    if unmask(approval, word, actor=actor, now=now) is None:
        return False
    settle(approval, ApprovalStatus.CANCELLED, now=now)
    record_about(approval, "approval.cancelled", actor, {})
    return True


def _lock_pending(approval_id: UUID, *, actor: Actor, digest: str, now: datetime) -> Approval:
    approval = get_approval(approval_id, actor=actor, lock=True)
    require_may_decide(actor, approval)
    require_pending(approval)
    if (hold := standing_hold(approval)) is not None:
        raise AlreadyResolved(
            f"{hold.user.get_username()} approved this already; until {hold.until:%H:%M:%S} UTC it can be recalled.",
            status=approval.status,
        )
    if approval.expires_at <= now:
        raise AlreadyResolved(
            f"The time to decide this ended at {approval.expires_at:%Y-%m-%d %H:%M:%S} UTC, which denies it.",
            status=ApprovalStatus.EXPIRED,
        )
    if digest != approval.digest:
        latest = Revision.objects.select_related("edited_by").get(approval=approval, number=approval.revision)
        changed = "This is not what you were shown"
        if latest.edited_by is not None:
            changed = f"{latest.edited_by} changed this at {latest.created_at:%Y-%m-%d %H:%M:%S} UTC"
        raise Stale(f"{changed}: look at it again before you decide.", digest=approval.digest)
    return approval
