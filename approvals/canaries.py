"""Planting tests: obviously wrong requests among the real ones, with nothing behind them that could run.

The audit log holds a commitment when one is planted and its opening when it is decided: that it was a test was
settled beforehand, and nobody could read there which request it is.
"""

import hashlib
import random
import secrets
from datetime import datetime, timedelta

from django.db import transaction

from approvals.access import OPERATOR
from approvals.digest import action_digest
from approvals.exceptions import Halted
from approvals.eyes import Needs, four_eyes, terms
from approvals.halts import require_running
from approvals.models import Approval, Canary, CanaryPlan, CanaryResult, Kind
from approvals.programs import schema_of
from approvals.requests import Request, request_approval
from approvals.risk import assess
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
    like = Approval.objects.filter(agent=plan.agent, tool=plan.tool, call_id__isnull=False)
    model = like.order_by(
        "-requested_at", "-id"
    ).first()  # what people know requests of this tool to look like
    risk = assess(effect=plan.effect, arguments=plan.arguments)
    with transaction.atomic():
        approval = request_approval(
            Request(
                kind=Kind.ACTION,
                title=plan.title,
                tool=plan.tool,
                arguments=plan.arguments,
                # Without a tool's own digest: no real call can have this one.
                digest=action_digest(
                    tool=plan.tool, tool_digest="", arguments=plan.arguments, subject={}, policy_digest=""
                ),
                parameters=model.parameters if model else schema_of(plan.arguments),
                effect=plan.effect,
                risk=risk.level,
                rule=model.rule if model else DEFAULT_RULE.format(effect=plan.effect),
                reason=plan.reason,
                context={"task": plan.task, "evidence": [], "risk": list(risk.reasons)},
                agent=plan.agent,
                agent_version=model.agent_version if model else None,
                simulated=model.simulated if model else False,
                expires_in=60 * plan.minutes,
                terms=terms(
                    Needs(1, OPERATOR, four_eyes=four_eyes(Kind.ACTION, plan.effect, risk.level)),
                    denials=1,
                    hold=0,
                    stakes=[],
                    asker=None,
                ),
            ),
            actor="system",
            now=now,
        )
        nonce = secrets.token_hex(32)
        Canary.objects.create(approval=approval, plan=plan, wrong=plan.wrong, nonce=nonce, planted_at=now)
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
