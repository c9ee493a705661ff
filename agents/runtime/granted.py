"""Calls that a standing grant lets through: they take a place in it when judged, and free it if they never run."""

from datetime import datetime, timedelta

from django.utils import timezone

from agents.models import ToolCall
from agents.runtime.binding import as_action
from agents.runtime.requesting import risk_of, stakes_in
from agents.runtime.stretch import Stretch
from agents.states import FINAL_CALL
from agents.tools.spec import Tool
from approvals.eyes import four_eyes
from approvals.models import Grant, GrantUse, Kind
from approvals.places import GRANTED, give_back, place_of, take_place
from approvals.policy import Verdict

SLOW = timedelta(minutes=5)  # a call whose place is older was stored by its worker, or never will be


def take(stretch: Stretch, call: ToolCall, tool: Tool, verdict: Verdict, digest: str) -> Grant | None:
    """The standing grant in which the call took a place, instead of people being asked about it."""
    if stretch.must_look:
        return None
    return take_place(
        as_action(stretch.run, tool, call.arguments, tainted=call.tainted),
        verdict,
        call_id=call.pk,
        digest=digest,
        tool_digest=tool.digest,
        stakes=[(stake["user"], stake["why"]) for stake in stakes_in(stretch.run)],
        four_eyes=four_eyes(Kind.ACTION, tool.effect, risk_of(tool, tainted=call.tainted)),
        now=timezone.now(),
    )


def place_by(rule: str, call: ToolCall) -> GrantUse | None:
    """The place that the call has, where `rule` says that a grant allowed it."""
    return place_of(call.pk) if rule.startswith(GRANTED) else None


def free_place(call: ToolCall, now: datetime) -> None:
    """Give back the place of a call that won't be claimed, if it has one."""
    if call.rule.startswith(GRANTED) and not call.attempts:
        give_back(call.pk, now=now)


def free_unclaimed(*, now: datetime, limit: int = 500) -> int:
    """Give back the places of calls that ended unclaimed, or whose worker died before they were stored. Returns how many."""
    places = GrantUse.objects.filter(
        returned_at=None, taken_at__lt=now - SLOW, grant__revoked_at=None, grant__expires_at__gt=now
    )
    held = set(places.order_by("taken_at").values_list("call_id", flat=True)[:limit])
    calls = ToolCall.objects.filter(pk__in=held).values_list("pk", "status", "attempts")
    kept = {pk for pk, status, attempts in calls if attempts or status not in FINAL_CALL}
    return sum(give_back(call_id, now=now) for call_id in held - kept)
