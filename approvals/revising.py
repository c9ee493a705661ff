"""A person's own wording of what an agent proposed: another revision, for which earlier votes do not count."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from approvals.access import Actor
from approvals.deliveries import words_of
from approvals.models import Approval, Delivery, Revision, Terms
from approvals.policy import RANK, merged_roles
from approvals.settling import record_about


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


def revise(approval: Approval, terms: Terms, edit: Edit, *, actor: Actor, now: datetime) -> None:
    """Put the person's wording in the place of what stands in a request that the caller has locked."""
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
    record_about(
        approval, "approval.edited", actor, {"before": before, "after": edit.arguments, "digest": edit.digest}
    )
