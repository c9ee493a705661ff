"""How a stretch ends: the run waits, is frozen or paused, tries again later, or is over."""

from datetime import timedelta

from django.utils import timezone

from agents.exceptions import Changed
from agents.models import Run, StepKind
from agents.runtime.accounts import account_of
from agents.runtime.asking import AskFailed
from agents.runtime.decide import Finish, Wait
from agents.runtime.dispatch import wake
from agents.runtime.journal import entry, move_call
from agents.runtime.requesting import ask_question
from agents.runtime.stretch import Stretch
from agents.runtime.verifying import is_kept_back, span_of
from agents.states import FINAL_CALL, CallStatus, RunStatus
from approvals.actions import cancel_for_run
from approvals.models import Approval
from traces.models import Span, SpanStatus
from traces.recorder import record, write_spans

FREE = {"lease_until": None, "lease_owner": ""}
RETRY_SECONDS = (1, 2, 4)
LONGEST_RETRY = 300  # s, whatever a provider asks for


def wait(stretch: Stretch, action: Wait) -> None:
    """Let go of the run until a person has decided. Raises Changed where that has happened meanwhile."""
    now = timezone.now()
    with entry(
        stretch.run,
        "wait",
        now=now,
        status=action.status,
        reason=action.reason,
        work_ms=stretch.lap(),
        **FREE,
    ):
        # Who decides locks the request first and wakes the run after the commit: with the requests locked here,
        # each decision is either seen now or comes to a run that can be claimed.
        requests = Approval.objects.select_for_update().filter(run_id=stretch.run.pk)
        status_of = dict(requests.order_by("pk").values_list("pk", "status"))
        known = {request.pk: request.status for request in stretch.requests}
        requested = Run.objects.values_list("requested", flat=True).get(pk=stretch.run.pk)
        if status_of != known or requested != stretch.run.requested:
            raise Changed
        record("run.suspended", actor=stretch.actor, object_id=stretch.run.pk, run_id=stretch.run.pk)


def ask_and_wait(stretch: Stretch) -> None:
    """Put the planner's question to a person, and let go of the run."""
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
    """Let go of the run until a person resumes it."""
    now, run = timezone.now(), stretch.run
    reason = "A person paused it."
    with entry(
        run,
        "pause",
        now=now,
        status=RunStatus.PAUSED,
        reason=reason,
        requested="",
        work_ms=stretch.lap(),
        **FREE,
    ):
        record("run.paused", actor=stretch.actor, object_id=run.pk, run_id=run.pk)


def retry_or_fail(stretch: Stretch, failed: AskFailed) -> None:
    """After a model gave no answer: try again later where that can help, without holding a worker; else fail."""
    run, failure = stretch.run, failed.failure
    tries = max(run.attempts, 1)  # 0: the stretch got on before the model failed
    if failure.retryable and tries <= len(RETRY_SECONDS):
        delay = max(RETRY_SECONDS[tries - 1], min(failure.retry_after or 0, LONGEST_RETRY))
        reason = f"The model failed ({failure}); it is asked again in {delay:g} s."
        _later(stretch, delay, reason, "run.retried", failed, attempts=tries)
        wake(run.pk, delay=delay)
        return
    times = f" {tries} times in a row" if tries > 1 else ""
    finish(stretch, Finish(RunStatus.FAILED, f"The model failed{times}: {failure}"), failed)


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
        work_ms=stretch.lap(),
        **FREE,
    ):
        if failed is not None:
            write_spans([failed.recorded])
        record(event, actor=stretch.actor, object_id=run.pk, run_id=run.pk, data={"reason": reason})


def retry_calls(stretch: Stretch) -> None:
    """Let go of the run until the first of its calls that are to be tried again is due."""
    now = timezone.now()
    due = [call.retry_at for call in stretch.calls if call.status == CallStatus.APPROVED and call.retry_at]
    delay = max(0.0, (min(due, default=now) - now).total_seconds())
    _later(stretch, delay, f"A tool is tried again in {delay:.0f} s.", "run.retried")
    wake(stretch.run.pk, delay=delay)


def finish(stretch: Stretch, action: Finish, failed: AskFailed | None = None) -> None:
    """End the run, with what it accomplished so far; whatever it still asked is cancelled."""
    run, now = stretch.run, timezone.now()
    texts = [step.payload["text"] for step in stretch.steps if step.kind == StepKind.MODEL]
    observations = [step.payload for step in stretch.steps if step.kind == StepKind.OBSERVE]
    checked = stretch.verification()
    with entry(
        run,
        "finish",
        now=now,
        status=action.status,
        reason=action.reason,
        output=texts[-1] if texts and not is_kept_back(stretch.steps) else "",
        summary=observations[-1]["summary"] if observations else account_of(stretch.calls),
        confidence=observations[-1]["confidence"] if observations else None,
        ended_at=now,
        requested="",
        work_ms=stretch.lap(),
        **FREE,
    ):
        for call in stretch.calls:
            if call.status not in FINAL_CALL:
                result = {"type": "cancelled", "message": "The run ended before this call ran."}
                move_call(call, CallStatus.CANCELLED, ended_at=now, result=result)
        cancel_for_run(run.pk, actor=stretch.actor, now=now)
        if failed is not None:
            write_spans([failed.recorded])
        if checked.checked:
            write_spans([span_of(stretch, checked, started_at=now)])
        Span.objects.filter(pk=run.root_span_id).update(
            ended_at=now,
            status=SpanStatus.ERROR if action.status == RunStatus.FAILED else SpanStatus.OK,
            simulated=run.simulated,
            attributes={"gatehouse.run.status": action.status, "gatehouse.run.reason": action.reason},
        )
        record(
            f"run.{action.status}",
            actor=stretch.actor,
            object_id=run.pk,
            run_id=run.pk,
            data={"reason": action.reason},
        )
