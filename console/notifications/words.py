"""What people are told: that something waits, how urgent it is, and where to look. Nothing that an agent wrote.

Arguments, reasons and results stay on the page, behind the sign-in. A channel that names the action adds the title that
the tool's code made; of a question, or of another program's request, there is none.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from agents.hidden import may_mask
from approvals.attention.models import Comment
from approvals.models import Approval, Decision, Halt, Kind
from approvals.states import ApprovalStatus
from approvals.unmasking import masked_as
from console.notifications.models import Notice, Topic
from traces.models import Event

TITLE_CHARS = 160
NEVER_YEARS = 10

_TITLES = {
    Topic.ASKED: "A request waits for a decision",
    Topic.ASKED_HIGH: "A request of high risk waits for a decision",
    Topic.ESCALATED: "Nobody has answered a request: it comes to you",
    Topic.EXPIRING: "A request expires soon",
    Topic.EXPIRED: "A request expired, since nobody decided in time",
    Topic.RECONCILE: "It is unknown whether a call happened: a person must find out",
    Topic.DELIVERY_FAILED: "Word could not be delivered",
    Topic.ASSIGNED: "A request was given to you",
}
_COUNTED = {
    Topic.ASKED: "wait for a decision",
    Topic.ASKED_HIGH: "of high risk wait for a decision",
    Topic.ESCALATED: "escalated",
    Topic.EXPIRING: "expire soon",
    Topic.EXPIRED: "expired",
    Topic.RECONCILE: "with an unknown outcome",
    Topic.HALTED: "emergency stops",
    Topic.DELIVERY_FAILED: "could not be delivered",
    Topic.ASSIGNED: "given to you",
    Topic.MENTIONED: "mention you",
    Topic.WATCHED: "that you watch changed",
}
WAITING = (Topic.ASKED, Topic.ASKED_HIGH, Topic.ESCALATED, Topic.EXPIRING, Topic.RECONCILE, Topic.ASSIGNED)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: plain text."""

    title: str
    body: str


def test_message() -> Message:
    """To see whether a channel works."""
    return Message("Gatehouse: a test", f"If you can read this, the channel works.\n{settings.BASE_URL}/me")


def message_of(notice: Notice, approval: Approval | None, *, with_title: bool) -> Message:
    """What one notice says."""
    event = Event.objects.filter(pk=notice.event_id or 0).first()
    if approval is None:
        return _without_request(notice, event)
    lines = [f"Request {reference(approval)}, {approval.risk} risk{_whose(approval)}."]
    run_id = masked_as(approval).run_id
    if with_title and approval.kind == Kind.ACTION and run_id and not may_mask(run_id):
        lines.append(plain(approval.title))
    if notice.stands_in_for:
        lines.append(f"You stand in for {notice.stands_in_for}.")
    if approval.status == ApprovalStatus.PENDING:
        if (approval.expires_at - approval.requested_at).days < 365 * NEVER_YEARS:
            lines.append(f"It can be decided until {approval.expires_at:%Y-%m-%d %H:%M} UTC.")
    else:
        lines.append(f"It is {approval.get_status_display().lower()}.")
    lines.append(f"{settings.BASE_URL}/inbox/{approval.pk}")
    return Message(f"Gatehouse: {_title(notice, approval, event)}", "\n".join(lines))


def digest_of(notices: Sequence[Notice]) -> Message:
    """Many notices as one message."""
    requests = len({notice.object_id for notice in notices if notice.topic in WAITING})
    title = f"{requests} requests wait" if requests else f"{len(notices)} things happened"
    counts = Counter(Topic(notice.topic) for notice in notices)
    lines = [f"{count} {_COUNTED[topic]}" for topic, count in counts.items()]
    return Message(f"Gatehouse: {title}", "\n".join([*lines, f"{settings.BASE_URL}/inbox"]))


def reference(approval: Approval) -> str:
    """How people call a request: the end of its id."""
    return approval.pk.hex[-8:]


def plain(text: str) -> str:
    """One line of text without characters that hide or reorder others."""
    shown = "".join(
        " " if char.isspace() else char
        for char in text
        if char.isspace() or unicodedata.category(char)[0] != "C"
    )
    line = " ".join(shown.split())
    return line if len(line) <= TITLE_CHARS else f"{line[:TITLE_CHARS]}…"


def _title(notice: Notice, approval: Approval, event: Event | None) -> str:
    doer = event.actor.partition(":")[2] if event else ""
    if notice.topic == Topic.MENTIONED:
        return f"{doer} mentioned you"
    if notice.topic == Topic.ASSIGNED and event and event.actor != "system":
        return f"{doer} gave you a request"
    if notice.topic != Topic.WATCHED:
        return _TITLES[Topic(notice.topic)]
    if (
        event
        and event.name == "comment.added"
        and Comment.objects.filter(pk=event.data.get("comment")).exists()
    ):
        return f"{doer} commented on a request that you watch"
    if event and event.name == "approval.edited":
        return f"{doer} changed a request that you watch"
    decision = Decision.objects.filter(approval=approval).select_related("user").first()
    by = f" by {decision.user.get_username()}" if decision else ""
    return f"A request that you watch is {approval.get_status_display().lower()}{by}"


def _without_request(notice: Notice, event: Event | None) -> Message:
    if notice.topic == Topic.HALTED and event is not None:
        what = Halt(agent=event.data.get("agent", ""), tool=event.data.get("tool", "")).what
        doer = event.actor.partition(":")[2] or "Gatehouse"
        done = "stopped" if event.name == "halt.pressed" else "let go on"
        return Message(f"Gatehouse: {doer} {done} {what}", f"{settings.BASE_URL}/halt")
    if notice.topic == Topic.DELIVERY_FAILED and event is not None:
        what = "A notification" if event.name == "notification.failed" else "A callback to a program"
        return Message(f"Gatehouse: {what} could not be delivered", f"{settings.BASE_URL}/me")
    return Message("Gatehouse: something happened", f"{settings.BASE_URL}/inbox")


def _whose(approval: Approval) -> str:
    return f", of the agent {plain(approval.agent)}" if approval.agent else ", of another program"
