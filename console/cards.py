"""A request as the inbox shows it: everything that a person needs to decide, in words."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from agents.masking import shown_arguments, shown_words
from agents.models import Run, ToolCall
from agents.precedents import NEAREST, Precedents, precedents_of
from agents.states import CallStatus, RunStatus
from approvals.denials import STANDS, reopening_of
from approvals.models import Decision, Kind, Reopening, Revision
from approvals.scopes import as_text, is_number
from approvals.states import ApprovalStatus
from approvals.unmasking import could_be_planted, shown_as, told
from console.ballots import Ballot
from console.receipts import Receipt, receipt_of
from console.schema_form import SchemaForm, argument_names

NEVER = timedelta(days=3650)  # a time limit beyond this is none

_EFFECT_TITLES = {
    "": "What was approved to change",  # by another program, which says nothing of what came of it
    CallStatus.APPROVED: "What will change",
    CallStatus.EXECUTING: "What will change",
    CallStatus.PENDING_APPROVAL: "What will change",
    CallStatus.SUCCEEDED: "What changed",
    CallStatus.UNKNOWN: "What may have changed",
    CallStatus.RECONCILED: "What may have changed",
}

REJECTIONS = (
    "The amount is wrong.",
    "This is not what the customer asked for.",
    "More facts are needed first.",
    "A person will do this.",
    "It looks like an attempt at fraud.",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One argument, as proposed and as it stands."""

    name: str
    value: Any
    proposed: Any
    edited: bool


@dataclass(frozen=True)
class Card(Ballot):
    """A request with all that its page shows; built for one person, who may decide or may not."""

    @property
    def state(self) -> str:
        """Changes when anything changes that the person looks at before deciding."""
        approval = self.approval
        over = ".over" if self.is_over else ""
        said = f"{len(self.votes)}.{len(self.denials)}"
        return f"{approval.status}.{approval.digest[:16]}.{approval.role}.{said}{over}{'.held' if self.hold else ''}"

    @property
    def is_question(self) -> bool:
        return self.approval.kind == Kind.QUESTION

    @property
    def is_high(self) -> bool:
        """Whether approving takes a second, deliberate step; whatever isn't known to be less counts as high."""
        return self.approval.risk not in ("low", "medium")

    @property
    def ends_at(self) -> datetime | None:
        """When it expires; None where it never does."""
        return self.approval.expires_at if self.approval.expires_at < self.now + NEVER else None

    @property
    def due_at(self) -> datetime | None:
        """By when it should be answered; None where nobody waits for an answer any more, or it ends before."""
        seconds = settings.DUE_SECONDS.get(self.approval.risk, 0)
        due_at = self.approval.requested_at + timedelta(seconds=seconds)
        return due_at if seconds and self.is_pending and due_at < self.approval.expires_at else None

    @property
    def effect_title(self) -> str:
        """What the preview is by now: a plan, or what came of it."""
        if not self.is_action:
            return "What was sent"
        if self.approval.status == ApprovalStatus.APPROVED:
            return _EFFECT_TITLES.get(self.call.status if self.call else "", "What would have changed")
        return "What will change" if self.is_pending and not self.is_over else "What would have changed"

    @cached_property
    def decision(self) -> Decision | None:
        row = Decision.objects.filter(approval=self.approval).select_related("user").first()
        if row is not None:
            row.reason, row.answer = (
                shown_words(self.approval, row.reason),
                shown_words(self.approval, row.answer),
            )
        return row

    @cached_property
    def reopening(self) -> Reopening | None:
        """Who let it be asked again after it was denied."""
        row = reopening_of(self.approval) if self.approval.status == ApprovalStatus.DENIED else None
        if row is not None:
            row.reason = shown_words(self.approval, row.reason)
        return row

    @property
    def shut_until(self) -> datetime:
        """Until when the agent can't ask again what was denied."""
        return (self.approval.resolved_at or self.now) + STANDS

    @property
    def is_shut(self) -> bool:
        """Whether its agent is refused when it asks for the same, since somebody denied it."""
        is_open = self.reopening is not None or could_be_planted(self.approval)
        return self.is_action and self.now < self.shut_until and not is_open

    @cached_property
    def revisions(self) -> list[Revision]:
        rows = list(self.approval.revisions.select_related("edited_by").order_by("number"))
        for row in rows:
            row.arguments = shown_arguments(self.approval, row.arguments)
        return rows

    @property
    def editors(self) -> list[User]:
        """Who changed what the agent proposed, latest last."""
        return [revision.edited_by for revision in self.revisions if revision.edited_by is not None]

    @cached_property
    def answer_form(self) -> SchemaForm:
        """The empty form of an answer."""
        return SchemaForm(self.approval.parameters, {})

    @property
    def rows(self) -> list[Row]:
        """The arguments, each beside what the agent proposed."""
        proposed = self.revisions[0].arguments if self.revisions else self.approval.arguments
        values = self.approval.arguments
        return [
            Row(name, values.get(name), proposed.get(name), values.get(name) != proposed.get(name))
            for name in argument_names(self.approval.parameters, {**proposed, **values})
            if name in proposed or name in values
        ]

    @property
    def limits(self) -> list[dict[str, Any]]:
        """The arguments as the form of a grant offers to limit them: numbers up to the value, all else as it is."""
        return [
            {"name": name, "value": value, "number": is_number(value), "text": as_text(value)}
            for name, value in self.approval.arguments.items()
        ]

    @property
    def has_numbers(self) -> bool:
        """Whether one of its arguments can be added up."""
        return any(limit["number"] for limit in self.limits)

    @property
    def facts(self) -> dict[str, Any]:
        """What the preview tells beside the changes; what only repeats an argument is left out."""
        arguments = self.approval.arguments
        facts: dict[str, Any] = self.approval.preview.get("facts", {})
        return {label: value for label, value in facts.items() if (label, value) not in arguments.items()}

    @property
    def is_edited(self) -> bool:
        return any(row.edited for row in self.rows)

    @property
    def sources(self) -> list[str]:
        """In words, what the agent had read that outsiders wrote."""
        return [_source_words(str(source)) for source in self.approval.taint_sources]

    @property
    def evidence(self) -> list[dict[str, Any]]:
        """What the agent had read, newest first."""
        return list(reversed(self.approval.context.get("evidence", [])))

    @cached_property
    def canary(self) -> str:
        """That this was a planted test, where it was; told once it is settled."""
        return told(self.approval, to=self.actor)

    @property
    def risk_reasons(self) -> str:
        """Why the risk is what it is, as it was found when this was asked."""
        reasons = self.approval.context.get("risk")
        return "; ".join(map(str, reasons)) if isinstance(reasons, list) else ""

    @property
    def findings(self) -> dict[str, Any]:
        """What else is known, by label."""
        shown = ("idempotency_key", "attempts", "error")
        return {
            name.replace("_", " "): self.approval.context[name]
            for name in shown
            if name in self.approval.context
        }

    @property
    def nearest(self) -> int:
        """Of how many the precedents are chosen, at most."""
        return NEAREST

    @cached_property
    def precedents(self) -> Precedents:
        """What people decided about actions like this one."""
        return precedents_of(self.approval, actor=self.actor)

    @cached_property
    def receipt(self) -> Receipt | None:
        """What was shown, decided and executed; None where no person decided."""
        return receipt_of(self.approval)

    @property
    def sent_at(self) -> datetime | None:
        """When a call whose outcome is unknown was last begun."""
        at = self.approval.context.get("started_at")
        return datetime.fromisoformat(at) if at else None

    @property
    def raw(self) -> dict[str, Any]:
        """What the digest stands for, and the digest."""
        approval = self.approval
        return {
            "id": str(approval.pk),
            "tool": approval.tool,
            "tool_digest": approval.tool_digest,
            "arguments": approval.arguments,
            "subject": approval.subject,
            "policy_digest": approval.policy_digest,
            "revision": approval.revision,
            "digest": approval.digest,
        }

    @cached_property
    def run(self) -> Run | None:
        """The run that asks; of a planted test, while it waits, that of what it is like."""
        run_id = shown_as(self.approval).run_id
        return Run.objects.filter(pk=run_id).first() if run_id else None

    @property
    def run_state(self) -> str:
        """How that run stands: a planted test waits in no run, and shows what a real one does."""
        if self.run is None or shown_as(self.approval) is self.approval:
            return self.run.status if self.run else ""
        return RunStatus.WAITING_APPROVAL

    @cached_property
    def asker(self) -> User | None:
        """Who asked by another program."""
        return shown_as(self.approval).requested_by

    @property
    def door(self) -> str:
        """By which door another program's request came: gateway or api; empty for what works here."""
        if self.run is not None:
            return "gateway" if self.run.metadata.get("via") == "mcp" else ""
        return "api" if self.approval.requested_by_id and not self.approval.run_id else ""

    @cached_property
    def call(self) -> ToolCall | None:
        """The call that waited for this, with what became of it."""
        return ToolCall.objects.filter(pk=self.approval.call_id).first() if self.approval.call_id else None


def _source_words(source: str) -> str:
    if source == "input":
        return "the task, as it came in"
    if source.startswith("tool:"):
        return f"what {source.removeprefix('tool:')} returned"
    return f"what {source} sent"
