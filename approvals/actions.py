"""What can be done at the gate. Each: lock, re-check, change, record; who hears of it hears after the commit."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, Model, OuterRef
from jsonschema import Draft202012Validator

from approvals.access import ADMIN, Actor, get_approval, require_may_decide
from approvals.deliveries import words_of
from approvals.exceptions import AlreadyResolved, Invalid, NotAllowed, Stale
from approvals.eyes import Needs, Voice, electorate, eligible, lacking, needs_of, shortfall, terms_of
from approvals.models import Approval, Decision, Delivery, Hold, Kind, Revision, Terms, Vote
from approvals.policy import RANK, merged_roles
from approvals.queries import standing_hold
from approvals.states import TRANSITIONS, ApprovalStatus
from approvals.stepup.gate import require_step_up
from approvals.unmasking import unmask
from traces.recorder import keep, page, record
from traces.statement import Change, Statement, read


@dataclass(frozen=True, slots=True)
class Request:
    """What is put to a person; see the fields of Approval."""

    kind: Kind
    title: str
    tool: str
    arguments: dict[str, Any]
    digest: str
    parameters: dict[str, Any] = field(default_factory=dict)
    tool_digest: str = ""
    effect: str = ""
    risk: str = "high"
    tainted: bool = False
    taint_sources: list[str] = field(default_factory=list)
    rule: str = ""
    policy_digest: str = ""
    reason: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    preview: dict[str, Any] = field(default_factory=dict)
    agent: str = ""
    agent_version: int | None = None
    run_id: UUID | None = None
    call_id: UUID | None = None
    subject: dict[str, Any] = field(default_factory=dict)
    simulated: bool = False
    requested_by: User | None = None
    role: str = "operator"
    approvers: int = 1
    expires_in: float = 3600  # s
    callback_url: str = ""
    terms: Terms | None = None  # beside the request


@dataclass(frozen=True, slots=True)
class Edit:
    """A person's wording of an action, validated and judged by the caller like the agent's."""

    arguments: dict[str, Any]
    digest: str
    title: str
    preview: dict[str, Any]
    approvers: int
    role: str
    rule: str
    roles: tuple[str, ...] = ()
    denials: int = 1
    hold: int = 0  # s
    step_up: bool = False
    fingerprint: dict[str, Any] | None = None


def request_approval(request: Request, *, actor: str, now: datetime) -> Approval:
    """Put a request to the people who may decide it; in the caller's transaction."""
    values = {
        name: getattr(request, name) for name in Request.__slots__ if name not in ("expires_in", "terms")
    }
    approval = Approval(**values, requested_at=now, expires_at=now + timedelta(seconds=request.expires_in))
    first = Revision(
        approval=approval, number=1, arguments=request.arguments, digest=request.digest, created_at=now
    )
    with transaction.atomic():
        keep(approval, first)
        record(
            "approval.requested",
            actor=actor,
            object_id=approval.pk,
            run_id=request.run_id,
            data={"tool": request.tool, "digest": request.digest, "rule": request.rule, "kind": request.kind},
        )
        if (terms := request.terms) is not None:
            terms.approval = approval
            keep(terms)
            if terms.lacking:
                record(
                    "approval.unapprovable",
                    actor="system",
                    object_id=approval.pk,
                    run_id=request.run_id,
                    data={"why": terms.lacking},
                )
    return approval


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
            _revise(approval, terms, edit, actor=actor, now=now)
            require_may_decide(
                actor, approval
            )  # the new wording may need another role; if so, nothing is changed
        stepped_up = require_step_up(actor, approval, terms, now=now)
        proven = {"stepped_up": True} if stepped_up else {}
        votes = read(Vote, "approval_id = $1 AND revision = $2", approval.pk, approval.revision)
        mine = next((vote for vote in votes if vote.user_id == actor.user.pk), None)
        voices = _voices([vote for vote in votes if vote.approve and vote is not mine], actor)
        needs = needs_of(approval, terms)
        missing, alone = lacking(voices, needs), ""
        if settings.SINGLE_OPERATOR:
            missing = lacking(voices, replace(needs, four_eyes=False))
            alone = "" if missing else _alone(approval, voices, needs, actor)
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
            _record(
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
            _record(
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
                _record(
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
        _record(approval, "approval.escalated", actor, {"reason": reason})
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
    _settle(approval, ApprovalStatus.CANCELLED, now=now)
    _record(approval, "approval.cancelled", actor, {})
    return True


def withdraw(approval_id: UUID, *, actor: Actor, now: datetime, reason: str = "") -> Approval:
    """Take a request back; only who asked can."""
    with transaction.atomic():
        approval = get_approval(approval_id, actor=actor, lock=True)
        if approval.requested_by_id != actor.user.pk:
            raise NotAllowed(f"Approval {approval.pk} was not asked for by you: reject it instead.")
        require_pending(approval)
        _settle(approval, ApprovalStatus.WITHDRAWN, now=now)
        _record(approval, "approval.withdrawn", actor, {"reason": reason})
        return approval


def cancel_for_run(
    run_id: UUID, *, actor: str, now: datetime, call_ids: Collection[UUID] | None = None
) -> int:
    """Settle what a run that ended still asked, or asked for these of its calls; in the caller's transaction.

    What asks whether something happened stays: the answer is needed, whatever became of the run.
    """
    rows = Approval.objects.select_for_update().filter(run_id=run_id, status=ApprovalStatus.PENDING)
    pending = rows.exclude(kind=Kind.RECONCILE)
    if call_ids is not None:
        pending = pending.filter(call_id__in=call_ids)
    for approval in pending:
        _settle(approval, ApprovalStatus.CANCELLED, now=now)
        record("approval.cancelled", actor=actor, object_id=approval.pk, run_id=run_id)
    return len(pending)


def expire_due(*, now: datetime, limit: int = 200) -> int:
    """Expire what nobody decided in time, which denies it. What is approved and held is decided. Returns how many."""
    held = Hold.objects.filter(approval=OuterRef("pk"), ended_at=None)
    due = Approval.objects.filter(~Exists(held), status=ApprovalStatus.PENDING, expires_at__lte=now)
    count = 0
    for approval_id in due.order_by("expires_at").values_list("pk", flat=True)[:limit]:
        with transaction.atomic():
            rows = Approval.objects.select_for_update(skip_locked=True)
            approval = rows.filter(pk=approval_id, status=ApprovalStatus.PENDING).first()
            if approval is not None and not standing_hold(
                approval
            ):  # else somebody is just deciding it, and sees the time for himself
                _expire(approval, now=now)
                count += 1
    return count


def _voices(votes: Sequence[Vote], actor: Actor) -> list[Voice]:
    """Who says yes: those who did, and `actor` now."""
    return [*_said(votes), Voice(actor.user.pk, actor.user.get_username(), actor.speaks_as)]


def _said(votes: Sequence[Vote]) -> list[Voice]:
    users = User.objects.in_bulk([vote.user_id for vote in votes])
    return [
        Voice(
            vote.user_id,
            users[vote.user_id].get_username(),
            vote.role or Actor(users[vote.user_id]).speaks_as,
        )
        for vote in votes
    ]


def _alone(approval: Approval, voices: Sequence[Voice], needs: Needs, actor: Actor) -> str:
    """Why this needed the setting for a single operator; empty where it did not."""
    if approval.requested_by_id == actor.user.pk:
        return f"{actor.user.get_username()} asked for it"
    return lacking(voices, needs).partition("since ")[2]


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


def require_pending(approval: Approval) -> None:
    """Raise AlreadyResolved, saying how and by whom, unless the request still waits."""
    if approval.status == ApprovalStatus.PENDING:
        return
    decisions = read(Decision, "approval_id = $1", approval.pk)
    people = read(User, "id = $1", decisions[0].user_id) if decisions else []
    by = f" by {people[0].get_username()}" if people else ""
    raise AlreadyResolved(
        f"This was {approval.status}{by} at {approval.resolved_at:%Y-%m-%d %H:%M:%S} UTC.",
        status=approval.status,
    )


def _revise(approval: Approval, terms: Terms, edit: Edit, *, actor: Actor, now: datetime) -> None:
    before = approval.arguments
    approval.revision += 1
    approval.arguments, approval.digest = edit.arguments, edit.digest
    approval.title, approval.preview, approval.rule = edit.title, edit.preview, edit.rule
    approval.approvers = max(approval.approvers, edit.approvers)
    approval.role = max(approval.role, edit.role, key=RANK.index)
    fields = ("revision", "arguments", "digest", "title", "preview", "rule", "approvers", "role")
    Approval.objects.filter(pk=approval.pk).update(**{name: getattr(approval, name) for name in fields})
    terms.roles = list(merged_roles(terms.roles, edit.roles))
    terms.denials, terms.hold = min(terms.denials, edit.denials), max(terms.hold, edit.hold)
    terms.fingerprint = edit.fingerprint
    terms.step_up = terms.step_up or edit.step_up
    terms.save()
    Revision.objects.create(
        approval=approval,
        number=approval.revision,
        arguments=edit.arguments,
        digest=edit.digest,
        edited_by=actor.user,
        created_at=now,
    )
    Delivery.objects.bulk_create(words_of(approval, "edited", now=now))
    _record(
        approval, "approval.edited", actor, {"before": before, "after": edit.arguments, "digest": edit.digest}
    )


def resolve(
    approval: Approval,
    status: ApprovalStatus,
    *,
    actor: Actor,
    verdict: str,
    reason: str,
    now: datetime,
    answer: dict[str, Any] | None = None,
    votes: Sequence[Vote] = (),
    alone: str = "",
    stepped_up: bool = False,
) -> Approval:
    """End a request, which the caller has locked, by a person's word."""
    decision = Decision(
        approval=approval,
        verdict=verdict,
        digest=approval.digest,
        user=actor.user,
        via=actor.via,
        reason=reason,
        answer=answer,
        decided_at=now,
    )
    said: dict[str, Any] = {"verdict": verdict, "digest": approval.digest, "reason": reason, "via": actor.via}
    if stepped_up:
        said["stepped_up"] = True
    if approval.kind == Kind.RECONCILE and answer:
        said["outcome"] = answer["outcome"]
    with page() as recorded:
        _record(approval, f"approval.{status}", actor, said)
        if alone:
            _record(approval, "approval.approved_alone", actor, {"why": alone, "digest": approval.digest})
    _settle(approval, status, now=now, added=(*votes, decision, *recorded.rows()))
    recorded.announce()
    unmask(approval, verdict, actor=actor, now=now)
    return approval


def _expire(approval: Approval, *, now: datetime) -> None:
    _settle(approval, ApprovalStatus.EXPIRED, now=now)
    unmask(approval, "expire", actor=None, now=now)
    told = why_nobody(approval)
    data = {"why": told} if told else {}
    record("approval.expired", actor="system", object_id=approval.pk, run_id=approval.run_id, data=data)


def still_missing(approval: Approval) -> str:
    """What is lacking before a pending action is approved, in words; empty where nothing is."""
    votes = [vote for vote in approval.votes.all() if vote.approve and vote.revision == approval.revision]
    needs = needs_of(approval, terms_of(approval))
    return lacking(_said(votes), replace(needs, four_eyes=needs.four_eyes and not settings.SINGLE_OPERATOR))


def why_nobody(approval: Approval, people: Sequence[Voice] | None = None) -> str:
    """Why nobody is left who could approve this, as things are now; empty where somebody is.

    `people` is the electorate, where the caller knows it.
    """
    if approval.kind != Kind.ACTION:
        return ""
    voices = eligible(
        electorate() if people is None else people, approval.role, asker=approval.requested_by_id
    )
    return shortfall(voices, needs_of(approval, terms_of(approval)))


def _settle(
    approval: Approval, status: ApprovalStatus, *, now: datetime, added: Sequence[Model] = ()
) -> None:
    """Move the request to `status`, and add what belongs to that."""
    if status not in TRANSITIONS[ApprovalStatus(approval.status)]:
        raise AlreadyResolved(f"Approval {approval.pk} is {approval.status} already.", status=approval.status)
    values = {"status": status, "resolved_at": now}
    change = Change(Approval, approval.pk, values, {"status": approval.status})
    if Statement(guard=change, added=[*added, *words_of(approval, status, now=now)]).execute() is None:
        raise AlreadyResolved(f"Approval {approval.pk} was settled meanwhile.", status=status)
    approval.status, approval.resolved_at = status, now


def _record(approval: Approval, name: str, actor: Actor, data: dict[str, Any]) -> None:
    record(name, actor=str(actor), object_id=approval.pk, run_id=approval.run_id, data=data)
