"""What happened to a request, in order and in words: asked, seen, changed, voted, said, told, decided, executed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from agents.masking import shown_words
from approvals.models import Approval, Comment
from approvals.unmasking import could_be_planted
from console.notifications.models import Notice, NoticeStatus, Way
from traces.models import Event

_WORDS = {
    "approval.requested": "asked",
    "approval.edited": "changed it: earlier votes count no more",
    "approval.escalated": "escalated it to the admins",
    "approval.approved": "approved it",
    "approval.denied": "rejected it",
    "approval.expired": "expired: nobody decided in time",
    "approval.withdrawn": "took it back",
    "approval.cancelled": "cancelled: the run it belonged to ended",
    "approval.answered": "answered it",
    "approval.viewed": "saw it",
    "care.taken": "took it up",
    "care.released": "let go of it",
    "care.expiring": "it expires soon",
    "tool_call.claimed": "began to execute it",
    "tool_call.succeeded": "executed it",
    "tool_call.failed": "tried to execute it, which failed",
    "tool_call.unknown": "tried to execute it; what came of it is unknown",
    "tool_call.reconciled": "its outcome was settled",
}
_STATUS = {
    NoticeStatus.WAITING: "is being told",
    NoticeStatus.TOLD: "was told",
    NoticeStatus.FAILED: "could not be told",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: who did what, when; `text` is what a person wrote."""

    at: datetime
    who: str
    what: str
    text: str = ""
    kind: str = ""  # comment, told, failed


def timeline_of(approval: Approval) -> list[Entry]:
    """All of it, oldest first."""
    comments = {row.pk: row.text for row in Comment.objects.filter(approval=approval)}
    entries = [_entry(event, comments) for event in _events(approval)]
    if could_be_planted(approval):  # the log says truly that the system asked, which would tell a test
        entries = [
            replace(entry, who=approval.agent)
            if entry and entry.what == _WORDS["approval.requested"]
            else entry
            for entry in entries
        ]
    told = Notice.objects.filter(object_id=str(approval.pk)).exclude(status=NoticeStatus.DROPPED)
    entries += [_told(notice) for notice in told.select_related("channel__user")]
    shown = [replace(entry, text=shown_words(approval, entry.text)) for entry in entries if entry]
    return sorted(shown, key=lambda entry: entry.at)


def _events(approval: Approval) -> list[Event]:
    rows = Event.objects.filter(run_id=approval.run_id)
    ids = [str(approval.pk)]
    if approval.call_id:
        ids.append(str(approval.call_id))
    names = [
        *_WORDS,
        "approval.voted",
        "care.assigned",
        "care.escalated",
        "care.passed_over",
        "comment.added",
    ]
    return list(rows.filter(object_id__in=ids, name__in=names, at__gte=approval.requested_at).order_by("pk"))


def _entry(event: Event, comments: dict[int, str]) -> Entry | None:
    who = event.actor.partition(":")[2]
    match event.name:
        case "comment.added":
            return Entry(event.at, who, "said", comments.get(event.data.get("comment", 0), ""), "comment")
        case "approval.voted":
            votes, needed = event.data.get("votes"), event.data.get("needed")
            return Entry(event.at, who, f"said yes, {votes} of {needed}", event.data.get("reason", ""))
        case "care.assigned":
            away = event.data.get("stands_in_for")
            to = f"{event.data.get('to')}{f' for {away}' if away else ''}"
            return Entry(event.at, who, f"gave it to {to}" if who else f"it was given to {to}")
        case "care.escalated":
            return Entry(event.at, "", _escalated(event.data))
        case "care.passed_over":
            return Entry(event.at, "", f"step {event.data.get('step')} of the escalation reached nobody")
    return Entry(event.at, who, _WORDS[event.name], event.data.get("reason", "") or "")


def _escalated(data: dict[str, Any]) -> str:
    return f"no answer within {data.get('minutes')} min: it goes to {_listed(data.get('to', []))}"


def _told(notice: Notice) -> Entry:
    channel = notice.channel
    who = channel.user.get_username() if channel.user else "the team"
    by = "e-mail" if channel.way == Way.EMAIL else channel.name
    what = f"{_STATUS[NoticeStatus(notice.status)]} by {by}"
    kind = "failed" if notice.status == NoticeStatus.FAILED else "told"
    return Entry(notice.sent_at or notice.created_at, who, what, kind=kind)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
