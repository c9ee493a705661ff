"""After a crash: what a dead worker left goes on through the normal door."""

from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from agents import brakes, sessions
from agents.models import Run, ToolCall
from agents.runtime.dispatch import wake
from agents.runtime.execution import MAX_ATTEMPTS
from agents.runtime.journal import entry, move_call
from agents.runtime.requesting import ask_what_happened
from agents.runtime.stretch import Stretch
from agents.states import FINAL_RUN, WAITING_RUN, CallStatus, RunStatus
from agents.tools.spec import Effect
from approvals.holds import release_due
from approvals.models import Approval
from approvals.queries import standing_halts
from approvals.settling import expire_due
from approvals.states import ApprovalStatus
from traces.recorder import record


def recover(stretch: Stretch, call: ToolCall) -> None:
    """Judge a call that was tried, with no word of what came of it: its worker died, or the run is to end.

    A read, and a call whose tool declares that the same key twice has one effect, is claimed again, with the same
    key. A read that goes wrong again and again has failed. Any other is unknown, and a person is asked: never a
    silent retry.
    """
    tool, now = stretch.tools.get(call.tool), timezone.now()
    harmless = tool is not None and (tool.idempotent or tool.effect == Effect.READ)
    with entry(stretch.run, "recover", now=now, work_ms=stretch.lap()):
        if harmless and call.attempts < MAX_ATTEMPTS and call.status == CallStatus.EXECUTING:
            move_call(call, CallStatus.APPROVED)
        elif call.effect == Effect.READ:
            message = "The call broke off each time that it was tried."
            move_call(call, CallStatus.FAILED, ended_at=now, result={"type": "error", "message": message})
        else:
            move_call(call, CallStatus.UNKNOWN)
            ask_what_happened(stretch, call, tool)
        record(
            f"tool_call.{'recovered' if call.status == CallStatus.APPROVED else call.status}",
            actor=stretch.actor,
            object_id=call.pk,
            run_id=stretch.run.pk,
            data={"tool": call.tool, "attempt": call.attempts},
        )


def sweep(*, now: datetime, limit: int = 500) -> int:
    """Find what should be moving and isn't, and wake it. Returns how many runs were woken.

    It finds runs whose message was lost, whose worker died, whose retry is due, and whose decision came without
    anybody hearing of it. It only wakes: the claim decides who works.
    """
    expire_due(now=now)
    release_due(now=now)
    sessions.sweep(limit=limit)
    halted = set(standing_halts().filter(tool="").values_list("agent", flat=True))
    frozen = Q() if "" in halted else Q(version__agent__name__in=halted)
    idle = Q(lease_until=None) | Q(lease_until__lt=now)
    stranded = Q(status=RunStatus.RUNNING) | Q(status=RunStatus.QUEUED, wake_at=None)
    due = Q(status=RunStatus.WAITING_RETRY, wake_at__lte=now)
    # One that is to end, but has a call in doubt, waits for a person like any other.
    in_doubt = Exists(ToolCall.objects.filter(run_id=OuterRef("pk"), status=CallStatus.UNKNOWN))
    # One that is to end waits for the runs that it started, once they were asked to end too.
    below = Run.objects.filter(parent=OuterRef("pk")).exclude(status__in=FINAL_RUN)
    asked = Q(status=RunStatus.WAITING_RUNS) & Exists(below) & ~Exists(below.filter(requested=""))
    requested = ~Q(requested="") & Q(status__in=WAITING_RUN) & ~in_doubt & ~asked
    over = Q(status=RunStatus.WAITING_RUNS) & ~Exists(below)
    moving = Run.objects.filter(idle & (stranded | due | requested | over), ended_at=None).order_by(
        "created_at"
    )
    if halted:
        moving = moving.exclude(frozen, requested="")  # a run may be cancelled while it is halted, no more
    moving, limit = brakes.without_held_back(moving), brakes.sweep_limit(limit)
    run_ids = list(moving.values_list("pk", flat=True)[:limit]) + _decided(limit)
    for run_id in run_ids:
        wake(run_id)
    return len(run_ids)


def _decided(limit: int) -> list[UUID]:
    """Runs that wait for a person where no request is pending any more for a call, or for the question."""
    pending = Approval.objects.filter(status=ApprovalStatus.PENDING)
    calls = ToolCall.objects.filter(
        ~Exists(pending.filter(call_id=OuterRef("pk"))),
        run__ended_at=None,
        run__status=RunStatus.WAITING_APPROVAL,
        status__in=[CallStatus.PENDING_APPROVAL, CallStatus.UNKNOWN],
    )
    # A question, or a plan that is to be approved, hangs on no call.
    asking = Run.objects.filter(
        ~Exists(pending.filter(run_id=OuterRef("pk"))),
        Q(status=RunStatus.WAITING_INPUT)
        | Q(status=RunStatus.WAITING_APPROVAL, version__config__plan__approve=True),
        ended_at=None,
    )
    return [
        *calls.order_by("run_id").values_list("run_id", flat=True).distinct()[:limit],
        *asking.values_list("pk", flat=True)[:limit],
    ]
