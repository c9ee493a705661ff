"""Approvals, and word of them to who asked."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field

from agents.bulk import MOST, Came
from approvals.models import DeliveryStatus, Kind
from approvals.states import ApprovalStatus
from console.api.shapes.base import Body


class ApprovalIn(Body):
    """What another program's agent wants to do."""

    tool: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:/-]+$")
    arguments: dict[str, Any]
    effect: Literal["read", "reversible", "irreversible"] = "irreversible"
    reason: str = Field(
        default="", max_length=10_000, description="In the agent's words; people see them as such."
    )
    context: dict[str, Any] = Field(default={}, description="What helps a person to decide.")
    expires_in: int | None = Field(
        default=None, ge=1, le=30 * 86400, description="Seconds; then it expires, which denies it."
    )
    callback_url: str = Field(
        default="",
        max_length=2000,
        description="Told by a POST, signed as Standard Webhooks say, when it is edited or resolved.",
    )


class DecisionOut(Schema):
    """What a person said."""

    decision: str = Field(description="approve, edit, reject or answer")
    by: str
    via: str
    reason: str
    answer: Any
    digest: str
    decided_at: datetime


class CallbackOut(Schema):
    """How far word to the caller's address has come."""

    status: DeliveryStatus | Literal["not_due"] = Field(description="not_due: there is nothing to tell yet.")
    attempts: int
    last_error: str


class ApprovalOut(Schema):
    """A request to people as it stands. After an edit, `arguments` and `digest` are the edited ones."""

    id: UUID
    kind: Kind
    status: ApprovalStatus
    title: str
    tool: str
    arguments: Any
    digest: str
    effect: str
    risk: str
    reason: str
    rule: str
    tainted: bool
    run: UUID | None
    agent: str
    approvers: int = Field(description="How many different people must agree.")
    missing: str = Field(description="Who must still say yes, or why nobody is left who could.")
    step_up: bool = Field(description="Approving it takes a second factor: in the console, never by a token.")
    held_until: datetime | None = Field(default=None, description="Approved, and recallable until then.")
    url: str
    requested_at: datetime
    expires_at: datetime
    resolved_at: datetime | None
    decision: DecisionOut | None
    callback: CallbackOut | None = Field(default=None, description="Where a callback_url was given.")
    canary: str = Field(default="", description="That it was a planted test, told once it is settled.")


class DecisionIn(Body):
    """A person's word, on exactly what `digest` stands for."""

    decision: Literal["approve", "edit", "reject", "answer", "escalate"]
    digest: str = Field(max_length=64)
    arguments: dict[str, Any] | None = Field(
        default=None, description="With edit: all arguments, as they shall run."
    )
    answer: dict[str, Any] | None = Field(default=None, description="With answer.")
    reason: str = Field(default="", max_length=2000, description="With reject: what the agent is told.")


class BulkItem(Body):
    """One of several requests, as it was shown."""

    id: UUID
    digest: str = Field(max_length=64)
    decision: Literal["approve", "reject"]
    reason: str = Field(default="", max_length=2000, description="With reject: what the agent is told.")


class BulkIn(Body):
    """Several requests, each decided by itself."""

    decisions: list[BulkItem] = Field(min_length=1, max_length=MOST)


class BulkResult(Schema):
    """What became of one; nothing was changed unless it is done, or voted where more people must agree."""

    id: UUID
    result: Came
    detail: str
    status: ApprovalStatus | None = Field(description="How it stands now; null where nothing was changed.")


class BulkOut(Schema):
    """One result for each decision, in the order in which they were sent."""

    results: list[BulkResult]


class ApprovalList(Schema):
    """A page of approvals."""

    items: list[ApprovalOut]
    next: str | None


class DeliveryOut(Schema):
    """Word of an approval to the caller's address."""

    id: UUID
    approval: UUID
    event: str = Field(description="As the type of what is sent, such as approval.approved.")
    status: DeliveryStatus
    attempts: int
    last_error: str
    answer_status: int | None = Field(description="HTTP status of the last answer.")
    answer: str = Field(description="How the last answer begins: the words of whoever is there.")
    created_at: datetime
    last_at: datetime | None
    next_at: datetime | None = Field(description="When it is tried again.")


class DeliveryList(Schema):
    """A page of deliveries."""

    items: list[DeliveryOut]
    next: str | None
