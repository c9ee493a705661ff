"""Taking in what was said to a run while it goes on: at its next turn, as a step of its own."""

from django.utils import timezone

from agents.models import Message, StepKind
from agents.runtime.journal import entry
from agents.runtime.stretch import Stretch
from traces.recorder import record
from traces.statement import read

SOURCE = "message"  # of taint


def take_messages(stretch: Stretch) -> bool:
    """Add a step for each message that the run was sent, in order; what outsiders wrote taints it.

    Returns whether there were any. What is sent from now on, the next write tells.
    """
    run = stretch.run
    if not run.spoken_to:
        return False
    said = read(Message, "run_id = $1 AND taken_at IS NULL ORDER BY said_at, id", run.pk)
    if not said:
        run.spoken_to = False
        return False
    now, sources = timezone.now(), list(run.taint_sources)
    if SOURCE not in sources and not all(message.trusted for message in said):
        sources.append(SOURCE)
    with entry(run, "message", now=now, taint_sources=sources, work_ms=stretch.lap()):
        Message.objects.filter(pk__in=[message.pk for message in said]).update(taken_at=now)
        for message in said:
            payload = {"text": message.text, "by": message.said_by, "trusted": message.trusted}
            step = stretch.add_step(StepKind.MESSAGE, payload, now=now)
            record("step.heard", actor=stretch.actor, object_id=str(step.seq), run_id=run.pk)
    run.spoken_to = False
    return True
