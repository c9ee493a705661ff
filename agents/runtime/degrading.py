"""What a run does when no model answers: it tries again, and then does what its agent says for that. Needs no model."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from agents.providers.base import FailureKind
from agents.runtime.asking import AskFailed
from agents.runtime.decide import Finish
from agents.runtime.stretch import Stretch
from agents.states import RunStatus
from traces.models import Event

RETRY_SECONDS = (1, 2, 4)
LONGEST_RETRY = 300  # s, whatever a provider asks for
PAUSES = (8.0, 300.0)  # s, the shortest and the longest between tries after those
JITTER = 0.25  # of a delay, added at random: runs that failed together don't come back together


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask again after `delay` (s), without a worker meanwhile."""

    delay: float
    reason: str
    attempts: int  # for the run's row: it did not get on


def what_follows(stretch: Stretch, failed: AskFailed, *, now: datetime) -> Retry | Finish:
    """How the run goes on, or ends.

    Three more tries come after about 1, 2 and 4 s, or when the provider says, where a try can help. Then
    `config.degraded` speaks: `wait` tries again after ever longer pauses, for as long as a request to a person would
    wait; `reply` completes the run with the fixed reply; `hand_over` escalates it. A key that is refused is not tried
    again, and with `wait` fails the run at once. A request that is refused as invalid always does.
    """
    run, failure, degraded = stretch.run, failed.failure, stretch.config.degraded
    if failed.hand_over:
        return Finish(RunStatus.LIMIT_EXCEEDED if failed.over_limit else RunStatus.ESCALATED, str(failure))
    tries = max(run.attempts, 1)  # 0: the stretch got on before the model failed
    if failure.retryable and tries <= len(RETRY_SECONDS):
        delay = max(RETRY_SECONDS[tries - 1], min(failure.retry_after or 0, LONGEST_RETRY))
        return _retry(delay, f"The model failed ({_words(failed)}); it is asked again in", tries)
    if failure.retryable or failure.kind == FailureKind.AUTHENTICATION:
        match degraded.mode:
            case "reply":
                reason = f"No model could answer ({_words(failed)}), so the agent's fixed reply was given."
                return Finish(RunStatus.COMPLETED, reason, output=degraded.reply)
            case "hand_over":
                reason = f"No model could answer ({_words(failed)}), so it was handed over to a person."
                return Finish(RunStatus.ESCALATED, reason)
    if not failure.retryable:
        return Finish(RunStatus.FAILED, f"The model failed: {failure}")
    lasting = now - _since(stretch, now)
    if lasting >= timedelta(seconds=settings.APPROVAL_SECONDS):
        hours = lasting.total_seconds() / 3600
        return Finish(RunStatus.FAILED, f"No model could answer for {hours:.0f} hours: {failure}")
    shortest, longest = PAUSES
    pause = max(shortest, min(lasting.total_seconds(), longest), min(failure.retry_after or 0, longest))
    words = f"No model can answer ({_words(failed)}). The run waits for one, and asks again in"
    return _retry(pause, words, len(RETRY_SECONDS) + 1)


def _retry(delay: float, words: str, attempts: int) -> Retry:
    spread = random.uniform(1, 1 + JITTER)  # noqa: S311 -- no secret
    return Retry(delay * spread, f"{words} about {delay:.0f} s.", attempts)


def _words(failed: AskFailed) -> str:
    return str(failed.failure).rstrip(".")


def _since(stretch: Stretch, now: datetime) -> datetime:
    """Since when no model answers this run: its first retry after the last thing that it got done."""
    run = stretch.run
    done = [step.created_at for step in stretch.steps]
    done += [call.ended_at for call in stretch.calls if call.ended_at is not None]
    retries = Event.objects.filter(
        run_id=run.pk, name="run.retried", at__gt=max(done, default=run.created_at)
    )
    return retries.order_by("pk").values_list("at", flat=True).first() or now
