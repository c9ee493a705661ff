"""What a run's first step may hold: what is remembered, or an answer that was given before."""

from collections.abc import Sequence

from agents.config import AgentConfig
from agents.models import Run, Step, StepKind


def is_due(run: Run, config: AgentConfig, steps: Sequence[Step]) -> bool:
    """Whether the run looks something up before its first step, and has not done so."""
    return not steps and (config.memory.long_term or may_be_given(run, config))


def may_be_given(run: Run, config: AgentConfig) -> bool:
    """Whether its answer may be one that was given before: the question must stand for itself.

    A turn of a conversation rests on what was said before it, and a part of a task on the whole.
    """
    alone = not run.conversation and run.session_id is None and run.parent_id is None
    return config.answer_cache is not None and alone


def given(steps: Sequence[Step]) -> tuple[str, str]:
    """Why the run is over before it began, and its answer; both empty where it was not answered before."""
    first = steps[0] if steps else None
    if first is None or first.kind != StepKind.RECALL or not first.payload["answer"]:
        return "", ""
    answer = first.payload["answer"]
    exactly = answer["similarity"] >= 1
    how = "The same question" if exactly else f"A question of the same meaning ({answer['similarity']:.0%})"
    return f"{how} was answered before, in run {answer['run']}: no model was asked.", str(answer["text"])
