"""How a stretch ends: the run waits, is frozen or paused, tries again later, or is over."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from agents.exceptions import Changed
from agents.models import StepKind
from agents.runtime import remembering
from agents.runtime.accounts import account_of
from agents.runtime.asking import AskFailed
from agents.runtime.children import is_stale
from agents.runtime.decide import Finish, Wait
from agents.runtime.degrading import Retry, what_follows
from agents.runtime.dispatch import wake
from agents.runtime.granted import free_place
from agents.runtime.journal import NOTHING_SAID, Seen, entry, is_unwritten, move_call
from agents.runtime.rehearsing import answer_question
from agents.runtime.requesting import ask_question, flooding
from agents.runtime.stretch import Stretch
from agents.runtime.verifying import is_kept_back, span_of
from agents.states import FINAL_CALL, CallStatus, RunStatus
from approvals.models import Approval
from approvals.settling import cancel_for_run
from approvals.states import ApprovalStatus
from traces.models import SpanStatus
from traces.recorder import end_span, record, write_spans
from traces.statement import Condition

HEARING = "react"  # the pattern that hears what it is told after an answer
FREE: dict[str, Any] = {"lease_until": None, "lease_owner": ""}
STOPPED_SECONDS = 15  # until a run looks again whether its tool is still stopped
SOON = 10  # s; a worker keeps the message of a retry for so long, later ones are found by the sweeper


def wait(stretch: Stretch, action: Wait) -> None:
    """Let go of the run until a person has decided, or the runs it started are over. Raises Changed where that has happened meanwhile."""
    now, run = timezone.now(), stretch.run
    asked = [request for request in stretch.requests if request.status == ApprovalStatus.PENDING]
    # What is asked by the very write by which the run waits, nobody can have decided.
    unseen = stretch.knows_requests and bool(asked) and all(is_unwritten(run, request) for request in asked)
    with entry(
        run,
        "wait",
        now=now,
        alone=unseen,
        conditions=[Condition("agents_run.requested = %s", (run.requested,))] if unseen else (),
        status=action.status,
        reason=action.reason,
        work_ms=stretch.lap(),
        **FREE,
    ) as seen:
        if not unseen:
            _confirm(stretch, action, asked, seen)
        record("run.suspended", actor=stretch.actor, object_id=run.pk, run_id=run.pk)


def _confirm(stretch: Stretch, action: Wait, asked: list[Approval], seen: Seen) -> None:
    """Raise Changed where what the run would wait for has come meanwhile.

    Who decides locks the request first and wakes the run after the commit: with the requests locked here, each
    decision is either seen now or comes to a run that can be claimed.
    """
    run = stretch.run
    pending = Approval.objects.select_for_update().filter(run_id=run.pk, status=ApprovalStatus.PENDING)
    still = set(pending.order_by("pk").values_list("pk", flat=True))
    if still != {request.pk for request in asked} or seen.requested != run.requested:
        raise Changed
    if action.status == RunStatus.WAITING_RUNS and is_stale(stretch):
        raise Changed


def ask_and_wait(stretch: Stretch) -> None:
    """Put the planner's question to a person, and let go of the run; a rehearsal asks nobody."""
    if stretch.script is not None:
        answer_question(stretch, stretch.script)
        return
    if flooding(stretch):
        raise Changed  # its agent is halted: the run freezes, and asks once that is lifted
    now, question = timezone.now(), stretch.steps[-1].payload["needs_clarification"]
    reason = "A person must answer the agent's question."
    with entry(
        stretch.run,
        "ask",
        now=now,
        status=RunStatus.WAITING_INPUT,
        reason=reason,
        work_ms=stretch.lap(),
        **FREE,
    ):
        ask_question(stretch, question)
        record("run.suspended", actor=stretch.actor, object_id=stretch.run.pk, run_id=stretch.run.pk)


def freeze(stretch: Stretch, reason: str) -> None:
    """Let go of the run while an emergency stop stands; the sweeper wakes it once that is lifted."""
    _later(stretch, 0, reason, "run.frozen")


def pause(stretch: Stretch) -> None:
    """Let go of the run until a person resumes it. Raises Changed where it is to end, or to go on, instead."""
    now, run = timezone.now(), stretch.run
    reason = "A person paused it."
    with entry(
        run,
        "pause",
        now=now,
        alone=True,
        conditions=[Condition("agents_run.requested = %s", (run.requested,))],
        status=RunStatus.PAUSED,
        reason=reason,
        requested="",
        work_ms=stretch.lap(),
        **FREE,
    ):
        record("run.paused", actor=stretch.actor, object_id=run.pk, run_id=run.pk)


def retry_or_fail(stretch: Stretch, failed: AskFailed) -> None:
    """After no model gave an answer: let go of the run until its next try, or end it, as `degrading` says."""
    match what_follows(stretch, failed, now=timezone.now()):
        case Finish() as end:
            finish(stretch, end, failed)
        case Retry(delay, reason, attempts):
            _later(stretch, delay, reason, "run.retried", failed, attempts=attempts)
            if delay <= SOON:
                wake(stretch.run.pk, delay=delay)


def _later(
    stretch: Stretch,
    delay: float,
    reason: str,
    event: str,
    failed: AskFailed | None = None,
    *,
    attempts: int = 0,
) -> None:
    run, now = stretch.run, timezone.now()
    with entry(
        run,
        "retry",
        now=now,
        status=RunStatus.WAITING_RETRY,
        reason=reason,
        wake_at=now + timedelta(seconds=delay),
        attempts=attempts,
        work_ms=_worked(stretch, failed),
        **FREE,
        **(failed.usage if failed else {}),
    ):
        if failed is not None:
            write_spans(failed.spans)
        record(event, actor=stretch.actor, object_id=run.pk, run_id=run.pk, data={"reason": reason})


def retry_calls(stretch: Stretch) -> None:
    """Let go of the run until the first of its calls that are to be tried again is due."""
    now = timezone.now()
    approved = [call for call in stretch.calls if call.status == CallStatus.APPROVED]
    stopped = sorted({call.tool for call in approved} & stretch.stopped_tools)
    due = [call.retry_at for call in approved if call.retry_at and call.tool not in stopped]
    if stopped:
        due.append(now + timedelta(seconds=STOPPED_SECONDS))
    delay = max(0.0, (min(due, default=now) - now).total_seconds())
    reason = f"A tool is tried again in {delay:.0f} s."
    if stopped:
        reason = f"An emergency stop holds {', '.join(stopped)}."
    _later(stretch, delay, reason, "run.retried")
    wake(stretch.run.pk, delay=delay)


def finish(stretch: Stretch, action: Finish, failed: AskFailed | None = None) -> None:
    """End the run, with what it accomplished so far; whatever it still asked is cancelled.

    Raises Changed where it was told something meanwhile that it can still hear.
    """
    run, now = stretch.run, timezone.now()
    texts = [step.payload["text"] for step in stretch.steps if step.kind == StepKind.MODEL]
    observations = [step.payload for step in stretch.steps if step.kind == StepKind.OBSERVE]
    checked = stretch.verification()
    open_calls = [call for call in stretch.calls if call.status not in FINAL_CALL]
    spoken = texts[-1] if texts and not is_kept_back(stretch.steps) else ""
    output = spoken if action.output is None else action.output
    judged = observations and action.status in (RunStatus.COMPLETED, RunStatus.ESCALATED)
    told = observations[-1]["summary"] if judged else account_of(stretch.calls)
    kept = remembering.to_keep(stretch, action, output=output, summary=action.summary or told, now=now)
    # Then nothing is asked, either.
    alone = action.status == RunStatus.COMPLETED and not open_calls and not kept
    hears = not failed and action.status == RunStatus.COMPLETED and stretch.config.pattern == HEARING
    with entry(
        run,
        "finish",
        now=now,
        alone=alone,
        conditions=[Condition(NOTHING_SAID)] if alone and hears else (),
        status=action.status,
        reason=action.reason,
        output=output,
        summary=action.summary or told,
        confidence=observations[-1]["confidence"] if observations else action.confidence,
        ended_at=now,
        requested="",
        work_ms=_worked(stretch, failed),
        **FREE,
        **(failed.usage if failed else {}),
    ) as seen:
        if hears and not alone and seen.spoken_to:
            raise Changed
        for call in open_calls:
            free_place(call, now)
            result = {"type": "cancelled", "message": "The run ended before this call ran."}
            move_call(call, CallStatus.CANCELLED, ended_at=now, result=result)
        if not alone:
            cancel_for_run(run.pk, actor=stretch.actor, now=now)
        remembering.keep(stretch, kept)
        if failed is not None:
            write_spans(failed.spans)
        if checked.checked:
            write_spans([span_of(stretch, checked, started_at=now)])
        end_span(
            run.root_span_id,
            ended_at=now,
            status=SpanStatus.ERROR if action.status == RunStatus.FAILED else SpanStatus.OK,
            simulated=run.simulated,
            attributes={
                "gatehouse.run.status": action.status,
                "gatehouse.run.reason": action.reason,
                **run.span_marks,
            },
        )
        record(
            f"run.{action.status}",
            actor=stretch.actor,
            object_id=run.pk,
            run_id=run.pk,
            data={"reason": action.reason} | ({"session": str(run.session_id)} if run.session_id else {}),
        )
    if run.parent_id is not None:
        wake(run.parent_id)


def _worked(stretch: Stretch, failed: AskFailed | None) -> int:
    """The run's time at work, in ms. Time in which no model answered is waiting, like any other."""
    return stretch.lap() - (failed.waited_ms if failed else 0)
