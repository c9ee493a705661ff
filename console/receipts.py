"""Shown = decided = ran: the receipt of a request, made of nothing but events of the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from approvals.models import Approval, Kind
from approvals.states import ApprovalStatus
from console.audit_words import who
from traces.audit.export import seal_of
from traces.models import Event, Seal

_DECIDED = ("approval.approved", "approval.denied", "approval.answered")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the receipt: what bore which digest, by whom, and the event that says so."""

    what: str
    digest: str
    event: Event
    seal: Seal | None
    is_same: bool  # as the line that it must equal

    @property
    def who(self) -> str:
        """Who did it."""
        return who(self.event.actor)


@dataclass(frozen=True)
class Receipt:
    """What was shown, decided and executed."""

    approval: Approval
    events: Sequence[Event]  # all that the log tells of the request and its call, in order
    decided: Event

    @property
    def shown(self) -> Event | None:
        """What the one who decided was shown last before; None where a program decided, which looks at nothing."""
        seen = [
            event
            for event in self.events
            if event.name == "approval.viewed"
            and event.actor == self.decided.actor
            and event.pk < self.decided.pk
            and event.data["revision"] <= self.approval.revision
        ]
        return seen[-1] if seen else None

    @property
    def changed(self) -> Event | None:
        """How the one who decided worded it instead of what was shown."""
        shown = self.shown
        edits = [
            event
            for event in self.events
            if event.name == "approval.edited"
            and event.actor == self.decided.actor
            and (shown is None or event.pk > shown.pk)
            and event.pk < self.decided.pk
        ]
        return edits[-1] if edits else None

    @property
    def executed(self) -> Event | None:
        """How it was begun; None where it wasn't."""
        claimed = [event for event in self.events if event.name == "tool_call.claimed"]
        return claimed[-1] if claimed and claimed[-1].pk > self.decided.pk else None

    @cached_property
    def entries(self) -> list[Entry]:
        """The lines, each compared with the one that it must equal."""
        lines: list[Entry] = []
        stages = (
            ("shown", self.shown),
            ("changed", self.changed),
            ("decided", self.decided),
            ("executed", self.executed),
        )
        for what, event in stages:
            if event is not None:
                digest = str(event.data.get("digest", ""))
                free = not lines or what == "changed"
                lines.append(
                    Entry(what, digest, event, seal_of(event.pk), is_same=free or digest == lines[-1].digest)
                )
        return lines

    @property
    def is_whole(self) -> bool:
        """Whether what ran is what was decided, and that what was shown."""
        return all(entry.is_same for entry in self.entries)

    @property
    def is_sealed(self) -> bool:
        """Whether the log can prove all of it by now."""
        return all(entry.seal is not None for entry in self.entries)

    @property
    def words(self) -> str:
        """What it comes to."""
        if not self.is_whole:
            return "These are not the same. Ask an admin to look into it."
        seen = "What was shown" if self.changed is None else "What was written"
        if self.shown is None and self.changed is None:
            seen = "What was named"
        if self.executed is not None:
            return f"{seen} is what was decided, and what ran."
        if self.approval.status == ApprovalStatus.APPROVED and self.approval.run_id is None:
            return f"{seen} is what was decided. Another program carries it out; that is not on record here."
        if self.approval.kind == Kind.ACTION and self.approval.status == ApprovalStatus.APPROVED:
            return f"{seen} is what was decided. It has not run."
        return f"{seen} is what was decided."

    @property
    def via(self) -> str:
        """By which door the decision came."""
        return {"browser": "in the console", "token": "by a token, through the API"}.get(
            self.decided.data.get("via", ""), f"by {self.decided.data.get('via')}"
        )

    @property
    def claims(self) -> list[dict[str, Any]]:
        """What the file says, each with the event that bears it out; of those that are sealed."""
        return [
            {"what": entry.what, "event": entry.event.pk, "field": "digest", "value": entry.digest}
            for entry in self.entries
            if entry.seal is not None
        ]


def receipt_of(approval: Approval) -> Receipt | None:
    """None where no person decided."""
    objects = [str(approval.pk), *([str(approval.call_id)] if approval.call_id else [])]
    events = list(Event.objects.filter(run_id=approval.run_id, object_id__in=objects).order_by("pk"))
    own = [event for event in events if event.name in _DECIDED and event.object_id == str(approval.pk)]
    return Receipt(approval, events, own[-1]) if own else None
