"""What is put to people: a request, on its way to the gate."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from approvals.models import Approval, Kind, Revision, Terms
from traces.recorder import keep, record


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
