"""Approvals: other programs ask, people decide."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import Prefetch, Q
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router
from ninja.responses import Status

from agents.bulk import Frozen, decide_each
from agents.decisions import decide as take_decision
from agents.masking import hide_in_requests, shown_words
from agents.questions import require_budget
from approvals import denials, settling
from approvals.access import Actor, get_approval, visible_approvals
from approvals.eyes import Voice, electorate, terms_of
from approvals.models import Approval, Decision, Delivery, DeliveryStatus, Hold, Kind
from approvals.programs import ask_for_program
from approvals.states import ApprovalStatus
from approvals.stepup.gate import needs_step_up
from approvals.unmasking import planted_beside, shown_as, told
from approvals.voting import still_missing, why_nobody
from console.api.auth import ANY, ASK, READ, actor_of
from console.api.idempotency import IdempotencyKey, create_once
from console.api.paging import PageQuery, page
from console.api.shapes import (
    ApprovalIn,
    ApprovalList,
    ApprovalOut,
    Because,
    BulkIn,
    BulkOut,
    BulkResult,
    CallbackOut,
    DecisionIn,
    DecisionOut,
)
from console.api.waiting import Wait, wait_until
from console.callbacks.address import check_address
from console.people.roles import DOERS, require_any

router = Router(tags=["approvals"], auth=READ)

DELIVERIES = Prefetch("deliveries", Delivery.objects.defer("body", "answer").order_by("created_at", "pk"))


class ApprovalQuery(PageQuery):
    """Which approvals."""

    status: ApprovalStatus | None = None
    run: UUID | None = None


@router.post(
    "", response={201: ApprovalOut}, auth=ASK, operation_id="request_approval", summary="Ask for approval"
)
def ask(request: HttpRequest, body: ApprovalIn, idempotency_key: IdempotencyKey = "") -> Status[object]:
    """Another program's agent wants to act: it asks here, waits with `?wait=`, and acts when it reads `approved`.

    What may then be done is what `arguments` say, which a person may have edited.
    """
    actor = actor_of(request)
    require_any(actor, DOERS, to="ask for approval")
    if body.callback_url:
        check_address(body.callback_url)
    require_budget(actor, now=timezone.now())

    def create() -> ApprovalOut:
        values = body.model_dump()
        expires_in = values.pop("expires_in") or settings.APPROVAL_SECONDS
        return shape_approval(
            ask_for_program(actor=actor, now=timezone.now(), expires_in=expires_in, **values)
        )

    return create_once(request, idempotency_key, create)


@router.get("", response=ApprovalList, operation_id="list_approvals", summary="List approvals")
def listing(request: HttpRequest, query: Query[ApprovalQuery]) -> ApprovalList:
    """Newest first; a service sees those that it asked for."""
    rows = visible_approvals(actor_of(request))
    rows = rows.select_related("decision__user", "terms", "hold").prefetch_related(DELIVERIES, "votes")
    if query.status is not None:
        rows = rows.filter(status=query.status)
    if query.run is not None:
        beside = planted_beside([query.run]).values("pk")
        rows = rows.filter(Q(run_id=query.run) | Q(pk__in=beside))
    found, people = page(rows, query, time="requested_at"), electorate()
    hide_in_requests(found.rows, actor_of(request))
    return ApprovalList(items=[shape_approval(approval, people) for approval in found.rows], next=found.next)


@router.post(
    "/bulk-decision",
    response=BulkOut,
    auth=ANY,
    operation_id="decide_several",
    summary="Decide several at once",
)
def decide_several(request: HttpRequest, body: BulkIn) -> BulkOut:
    """Each is decided by itself, on exactly what its digest stands for; one that fails changes nothing for the others."""
    frozen = [Frozen(**item.model_dump()) for item in body.decisions]
    return BulkOut(
        results=[
            BulkResult(
                id=each.id,
                result=each.result,
                detail=each.detail,
                status=ApprovalStatus(each.approval.status) if each.approval else None,
            )
            for each in decide_each(frozen, actor=actor_of(request))
        ]
    )


@router.get("/{approval_id}", response=ApprovalOut, operation_id="get_approval", summary="Read an approval")
async def read(request: HttpRequest, approval_id: UUID, wait: Wait = 0) -> ApprovalOut:
    """With `wait`, answers when it is no longer pending, at the latest after so many seconds."""
    load = partial(_read, approval_id, actor_of(request))
    approval = await sync_to_async(load)()
    if wait and approval.status == ApprovalStatus.PENDING:
        pending = Approval.objects.filter(pk=approval_id, status=ApprovalStatus.PENDING)
        await wait_until(lambda: not pending.all().exists(), seconds=wait)
        approval = await sync_to_async(load)()
    return await sync_to_async(shape_approval)(approval)


@router.post(
    "/{approval_id}/decision", response=ApprovalOut, auth=ANY, operation_id="decide", summary="Decide"
)
def decide(request: HttpRequest, approval_id: UUID, body: DecisionIn) -> ApprovalOut:
    """For people whose token has the scope `decide`. A digest that is no longer the shown one is refused with 409."""
    approval = take_decision(approval_id=approval_id, actor=actor_of(request), **body.model_dump())
    hide_in_requests([approval], actor_of(request))
    return shape_approval(approval)


@router.post(
    "/{approval_id}/withdraw",
    response=ApprovalOut,
    auth=ASK,
    operation_id="withdraw_approval",
    summary="Withdraw a request",
)
def withdraw(request: HttpRequest, approval_id: UUID, body: Because | None = None) -> ApprovalOut:
    """By who asked, while it is pending."""
    reason = body.reason if body else ""
    approval = settling.withdraw(approval_id, actor=actor_of(request), reason=reason, now=timezone.now())
    return shape_approval(approval)


@router.post(
    "/{approval_id}/reopen",
    response=ApprovalOut,
    auth=ANY,
    operation_id="reopen_approval",
    summary="Let what was denied be asked again",
)
def reopen(request: HttpRequest, approval_id: UUID, body: Because | None = None) -> ApprovalOut:
    """For people whose token has the scope `decide`. What was denied stays so; it may be asked anew."""
    actor, reason = actor_of(request), body.reason if body else ""
    denials.reopen(approval_id, actor=actor, reason=reason, now=timezone.now())
    return shape_approval(_read(approval_id, actor))


def _read(approval_id: UUID, actor: Actor) -> Approval:
    approval = get_approval(approval_id, actor=actor)
    hide_in_requests([approval], actor)
    return approval


def shape_approval(approval: Approval, people: Sequence[Voice] | None = None) -> ApprovalOut:
    """An approval as the API tells it; `people` is the electorate, where the caller knows it."""
    return ApprovalOut(
        id=approval.pk,
        kind=Kind(approval.kind),
        status=ApprovalStatus(approval.status),
        title=approval.title,
        tool=approval.tool,
        arguments=approval.arguments,
        digest=approval.digest,
        effect=approval.effect,
        risk=approval.risk,
        reason=approval.reason,
        rule=approval.rule,
        tainted=approval.tainted,
        run=shown_as(approval).run_id,
        agent=approval.agent,
        approvers=approval.approvers,
        missing=_missing(approval, people),
        step_up=needs_step_up(approval, terms_of(approval)),
        held_until=hold.until if (hold := _hold(approval)) else None,
        url=f"{settings.BASE_URL}/inbox/{approval.pk}",
        requested_at=approval.requested_at,
        expires_at=approval.expires_at,
        resolved_at=approval.resolved_at,
        decision=_shape_decision(approval),
        callback=_shape_callback(approval),
        canary=told(approval),
    )


def _hold(approval: Approval) -> Hold | None:
    hold = getattr(approval, "hold", None)
    return hold if hold and hold.ended_at is None else None


def _missing(approval: Approval, people: Sequence[Voice] | None) -> str:
    """What is lacking before it is approved; said only while it waits."""
    if approval.status != ApprovalStatus.PENDING or approval.kind != Kind.ACTION:
        return ""
    return why_nobody(approval, people) or still_missing(approval)


def _shape_callback(approval: Approval) -> CallbackOut | None:
    """By the latest word of it."""
    if not approval.callback_url:
        return None
    latest = max(
        approval.deliveries.all(), key=lambda delivery: (delivery.created_at, delivery.pk), default=None
    )
    if latest is None:
        return CallbackOut(status="not_due", attempts=0, last_error="")
    return CallbackOut(
        status=DeliveryStatus(latest.status), attempts=latest.attempts, last_error=latest.error
    )


def _shape_decision(approval: Approval) -> DecisionOut | None:
    try:
        decision = approval.decision
    except Decision.DoesNotExist:
        return None
    return DecisionOut(
        decision=decision.verdict,
        by=decision.user.get_username(),
        via=decision.via,
        reason=shown_words(approval, decision.reason),
        answer=shown_words(approval, decision.answer),
        digest=decision.digest,
        decided_at=decision.decided_at,
    )
