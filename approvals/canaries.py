"""Planting tests: obviously wrong requests among the real ones, with nothing behind them that could run.

The audit log holds a commitment when one is planted and its opening when it is decided: that it was a test was
settled beforehand, and nobody could read there which request it is.
"""

import hashlib
import random
import secrets
from datetime import datetime, timedelta

from django.db import transaction

from approvals.digest import action_digest
from approvals.exceptions import Halted
from approvals.eyes import Needs, four_eyes, terms, terms_of
from approvals.halts import require_running
from approvals.models import Approval, Canary, CanaryPlan, CanaryResult, Kind, Terms
from approvals.programs import schema_of
from approvals.requests import Request, request_approval
from approvals.risk import EGRESS, LOOKED_AT, Past, assess
from approvals.states import ApprovalStatus
from traces.recorder import record

SPREAD = (0.5, 1.5)  # times its days, until the next of a plan
DEFAULT_RULE = "default: one operator (No rule matches, and the call is {effect}.)"

_chance = random.SystemRandom()


def plant_due(*, now: datetime) -> list[Approval]:
    """Plant what is due of the plans that are switched on."""
    planted = []
    for plan_id in CanaryPlan.objects.filter(enabled=True).values_list("pk", flat=True):
        with transaction.atomic():
            rows = CanaryPlan.objects.select_for_update(skip_locked=True)
            plan = rows.filter(pk=plan_id, enabled=True).first()
            if plan is None:
                continue
            if plan.next_at is None:
                _next(plan, now, begins=True)
            elif plan.next_at <= now and _is_free(plan):
                planted.append(plant(plan, now=now))
                _next(plan, now)
    return planted


def plant(plan: CanaryPlan, *, now: datetime) -> Approval:
    """Put one among the requests; in a transaction."""
    like = _like(plan)
    model = like or Approval(
        rule=DEFAULT_RULE.format(effect=plan.effect), parameters=schema_of(plan.arguments)
    )
    asked = terms_of(like) if like else Terms()
    risk = assess(
        effect=plan.effect,
        egress=EGRESS in model.context.get("risk", ()),
        tainted=model.tainted,
        arguments=plan.arguments,
        past=_past(like) if like else None,
    )
    with transaction.atomic():
        approval = request_approval(
            Request(
                kind=Kind.ACTION,
                title=plan.title,
                tool=plan.tool,
                arguments=plan.arguments,
                digest=action_digest(
                    tool=plan.tool,
                    tool_digest=model.tool_digest,
                    arguments=plan.arguments,
                    subject=model.subject,
                    policy_digest=model.policy_digest,
                ),
                parameters=model.parameters,
                tool_digest=model.tool_digest,
                effect=plan.effect,
                risk=risk.level,
                tainted=model.tainted,
                taint_sources=model.taint_sources,
                rule=model.rule,
                policy_digest=model.policy_digest,
                reason=plan.reason,
                context={
                    "task": plan.task or model.context.get("task", ""),
                    "evidence": model.context.get("evidence", []),
                    "risk": list(risk.reasons),
                },
                preview=plan.preview,
                agent=plan.agent,
                agent_version=model.agent_version,
                subject=model.subject,
                simulated=model.simulated,
                role=model.role,
                approvers=model.approvers,
                expires_in=60 * plan.minutes,
                terms=terms(
                    Needs(
                        model.approvers,
                        model.role,
                        tuple(asked.roles),
                        tuple((int(stake["user"]), str(stake["why"])) for stake in asked.stakes),
                        four_eyes(Kind.ACTION, plan.effect, risk.level),
                    ),
                    denials=asked.denials,
                    hold=asked.hold,
                    stakes=asked.stakes,
                    asker=None,
                    step_up=asked.step_up,
                ),
            ),
            actor="system",
            now=now,
        )
        nonce = secrets.token_hex(32)
        Canary.objects.create(
            approval=approval, plan=plan, like=like, wrong=plan.wrong, nonce=nonce, planted_at=now
        )
        record(
            "canary.planted",
            actor="system",
            object_id=str(plan.pk),
            data={"commitment": commitment(approval, nonce)},
        )
    return approval


def commitment(approval: Approval, nonce: str) -> str:
    """What the audit log holds of a planted request before it is decided; SHA-256, in hex."""
    return hashlib.sha256(f"{approval.pk}:{nonce}".encode()).hexdigest()


def _like(plan: CanaryPlan) -> Approval | None:
    """What people know requests of this tool to look like: the latest that waits, else the latest."""
    rows = Approval.objects.filter(agent=plan.agent, tool=plan.tool, kind=Kind.ACTION, call_id__isnull=False)
    latest = rows.order_by("-requested_at", "-pk")
    return latest.filter(status=ApprovalStatus.PENDING).first() or latest.first()


def _past(like: Approval) -> Past:
    """What was approved of this tool before, so that an amount is as unusual here as a real one would be."""
    rows = Approval.objects.filter(
        agent=like.agent, tool=like.tool, status=ApprovalStatus.APPROVED, call_id__isnull=False
    )
    approved = rows.filter(simulated=like.simulated).order_by("-requested_at")[:LOOKED_AT]
    found = list(approved.values_list("arguments", "subject"))
    return Past(
        by_asker=[arguments for arguments, _ in found],
        for_subject=not like.subject or any(subject == like.subject for _, subject in found),
    )


def _is_free(plan: CanaryPlan) -> bool:
    """Whether its last one is settled, and no emergency stop holds what it pretends to be."""
    if plan.planted.filter(result=CanaryResult.WAITING).exists():
        return False
    try:
        require_running(plan.agent)
    except Halted:
        return False
    return True


def _next(plan: CanaryPlan, now: datetime, *, begins: bool = False) -> None:
    low, high = (0.0, 1.0) if begins else SPREAD
    plan.next_at = now + timedelta(days=plan.days * _chance.uniform(low, high))
    plan.save(update_fields=["next_at"])
