"""Memory around a run: what is looked up before its first step, and what is kept of it when it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from agents.memory import answers, long_term
from agents.memory.embeddings import Embedded, embed
from agents.models import CachedAnswer, Memory, Run, StepKind
from agents.providers.base import ModelFailure
from agents.runtime.decide import Finish
from agents.runtime.journal import add, entry, give_back_connection
from agents.runtime.recalled import may_be_given
from agents.runtime.stretch import Stretch
from agents.states import CallStatus, RunStatus
from agents.tools.spec import Effect
from approvals.exceptions import Invalid
from traces.models import SpanStatus
from traces.recorder import Recorded, record, write_spans

SHOWN_CHARS = 500  # of the task and of the answer, in a memory
SHOWN_CALLS = 12
SOURCE = "memory"  # as a taint
# A run that a person called off, or that failed, tells nothing of how such a task goes.
REMEMBERED = frozenset(
    {RunStatus.COMPLETED, RunStatus.ESCALATED, RunStatus.LIMIT_EXCEEDED, RunStatus.LOOP_DETECTED}
)
# Steps in which a person or another run had a say: the answer is not the question's alone.
SHARED = frozenset({StepKind.ANSWER, StepKind.MESSAGE, StepKind.STEER, StepKind.DELEGATE, StepKind.ROUTE})


@dataclass(slots=True)
class _Lookup:
    """What was found, and the spans that say how."""

    memories: list[long_term.Recalled]
    answer: answers.Found | None
    spans: list[Recorded]
    embedded: Embedded | None


def recall(stretch: Stretch) -> None:
    """Look up the question's answer, and else what is remembered; store both, so that they stay what they were."""
    found = _look_up(stretch)
    now, run = timezone.now(), stretch.run
    payload = {
        "memories": [
            {
                "id": str(memory.id),
                "kind": memory.kind,
                "text": memory.text,
                "run": str(memory.run_id) if memory.run_id else "",
                "created_at": memory.created_at.isoformat(),
                "score": memory.score,
                "why": memory.why,
                "tainted": memory.tainted,
            }
            for memory in found.memories
        ],
        "answer": _answer_payload(found.answer),
    }
    changes: dict[str, Any] = {"work_ms": stretch.lap()}
    if found.embedded is not None:
        changes["input_tokens"] = run.input_tokens + found.embedded.tokens
        changes["cost_usd"] = run.cost_usd + (found.embedded.cost_usd or Decimal(0))
        changes["simulated"] = run.simulated or found.embedded.simulated
    if found.memories and SOURCE not in run.taint_sources:
        changes["taint_sources"] = [*run.taint_sources, SOURCE]
    with entry(run, "recall", now=now, **changes):
        step = stretch.add_step(StepKind.RECALL, payload, now=now, span_id=found.spans[-1].span.pk)
        write_spans(found.spans)
        record(
            "memory.recalled",
            actor=stretch.actor,
            object_id=str(step.seq),
            run_id=run.pk,
            data={
                "memories": [str(memory.id) for memory in found.memories],
                "answered": found.answer is not None,
            },
        )


def to_keep(
    stretch: Stretch, action: Finish, *, output: str, summary: str, now: datetime
) -> list[Memory | CachedAnswer]:
    """The rows that the entry which ends the run is to add: what happened, and the answer if it may be given again."""
    config, run = stretch.config, stretch.run
    endpoint = config.models.embeddings
    kept: list[Memory | CachedAnswer] = []
    if run.rehearsal:
        return kept
    try:
        if config.memory.long_term and action.status in REMEMBERED and run.turns:
            text, tainted = _episode(stretch, action, output, summary), bool(run.taint_sources)
            kept.append(
                long_term.remember(
                    run=run, text=text, tainted=tainted, endpoint=endpoint, keep=config.memory.keep, now=now
                )
            )
        cache, answered = config.answer_cache, action.status == RunStatus.COMPLETED and output.strip()
        if cache and answered and run.turns and _only_read(stretch):
            kept.append(answers.keep(run=run, answer=output, cache=cache, endpoint=endpoint, now=now))
    except Invalid:
        pass  # a subject without a canonical form is nobody whom another run could name again
    return kept


def keep(stretch: Stretch, rows: Sequence[Memory | CachedAnswer]) -> None:
    """Add the rows; inside the entry that ends the run. Who embeds hears of those that have no vector yet."""
    for row in rows:
        add(row)
        record(
            "memory.remembered" if isinstance(row, Memory) else "answer.kept",
            actor=stretch.actor,
            object_id=row.pk,
            run_id=stretch.run.pk,
            data={"agent": stretch.agent, "embedded": bool(row.embedded_by)},
        )


def _look_up(stretch: Stretch) -> _Lookup:
    config, run, now = stretch.config, stretch.run, timezone.now()
    spans: list[Recorded] = []
    by_meaning = config.memory.long_term or (config.answer_cache and config.answer_cache.similarity < 1)
    embedded = _embed(stretch, spans) if by_meaning else None
    memories: list[long_term.Recalled] = []
    answer = None
    try:
        if config.answer_cache and may_be_given(run, config):
            answer = answers.find(run=run, cache=config.answer_cache, embedded=embedded, now=now)
            spans.append(_answer_span(stretch, answer, now))
        if config.memory.long_term and answer is None:
            memories = long_term.recall(
                agent=run.version.agent,
                subject=run.subject,
                text=run.input,
                count=config.memory.recall,
                now=now,
                embedded=embedded,
            )
            spans.append(_memory_span(stretch, memories, embedded, now))
    except Invalid:  # a subject without a canonical form is nobody of whom anything could be remembered
        spans.append(_memory_span(stretch, [], embedded, now))
    return _Lookup(memories, answer, spans, embedded)


def _only_read(stretch: Stretch) -> bool:
    """Whether the answer rests on nothing but what was asked and read: no effect was even proposed."""
    return (
        may_be_given(stretch.run, stretch.config)
        and all(call.effect == Effect.READ and call.status == CallStatus.SUCCEEDED for call in stretch.calls)
        and not any(step.kind in SHARED for step in stretch.steps)
        and not Run.objects.filter(parent_id=stretch.run.pk).exists()
    )


def _embed(stretch: Stretch, spans: list[Recorded]) -> Embedded | None:
    """The vector of the task; None where no endpoint gives one, which fails nothing."""
    endpoint = stretch.config.models.embeddings
    if endpoint is None:
        return embed([stretch.run.input], endpoint=None)
    give_back_connection()
    started_at = timezone.now()
    span = stretch.span(
        f"embeddings {endpoint.model}",
        "embeddings",
        started_at=started_at,
        ended_at=started_at,
        provider=endpoint.provider,
        model=endpoint.model,
    )
    spans.append(Recorded(span=span))
    try:
        embedded = embed([stretch.run.input], endpoint=endpoint)
    except ModelFailure as failure:
        span.ended_at = timezone.now()
        span.status, span.error_type, span.preview = SpanStatus.ERROR, failure.kind, str(failure)
        return None
    span.ended_at = timezone.now()
    span.input_tokens, span.cost_usd, span.simulated = embedded.tokens, embedded.cost_usd, embedded.simulated
    return embedded


def _memory_span(
    stretch: Stretch, memories: list[long_term.Recalled], embedded: Embedded | None, started_at: datetime
) -> Recorded:
    how = (
        f"meaning ({embedded.by}) and words"
        if embedded
        else "words alone: no vector of the task was to be had"
    )
    span = stretch.span(
        "search_memory",
        "search_memory",
        started_at=started_at,
        ended_at=timezone.now(),
        preview=f"{len(memories)} recalled, by {how}",
        attributes={
            "gatehouse.memory.count": len(memories),
            "gatehouse.memory.embedded_by": embedded.by if embedded else "",
        },
    )
    output = [
        {
            "id": str(memory.id),
            "run": str(memory.run_id or ""),
            "score": memory.score,
            "why": memory.why,
            "text": memory.text,
        }
        for memory in memories
    ]
    return Recorded(span=span, input={"query": stretch.run.input, "how": how}, output=output)


def _answer_span(stretch: Stretch, found: answers.Found | None, started_at: datetime) -> Recorded:
    span = stretch.span(
        "search_answers",
        "search_memory",
        started_at=started_at,
        ended_at=timezone.now(),
        preview=f"Answered before, in run {found.run_id}" if found else "Not answered before",
        attributes={"gatehouse.cache.hit": found is not None},
    )
    return Recorded(span=span, input={"question": stretch.run.input}, output=_answer_payload(found))


def _answer_payload(found: answers.Found | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "text": found.answer,
        "run": str(found.run_id),
        "similarity": found.similarity,
        "question": found.question,
        "created_at": found.created_at.isoformat(),
    }


def _episode(stretch: Stretch, action: Finish, output: str, summary: str) -> str:
    """What happened, from what is stored: task, outcome, what was done and what was not allowed."""
    lines = [f"Task: {stretch.run.input[:SHOWN_CHARS]}", f"Outcome: {action.status}. {action.reason}"]
    if summary:
        lines.append(f"Summary: {summary[:SHOWN_CHARS]}")
    for word, statuses in (
        ("Done", {CallStatus.SUCCEEDED, CallStatus.RECONCILED}),
        ("Not done", {CallStatus.DENIED, CallStatus.EXPIRED, CallStatus.WITHDRAWN, CallStatus.FAILED}),
    ):
        calls = [
            call for call in stretch.calls if call.status in statuses and call.effect not in ("", Effect.READ)
        ]
        told = [
            f"{stretch.tools[call.tool].in_words(call.arguments) if call.tool in stretch.tools else call.tool} ({call.status})"
            for call in calls[:SHOWN_CALLS]
        ]
        if told:
            lines.append(f"{word}: {'; '.join(told)}")
    if output:
        lines.append(f"Answer: {output[:SHOWN_CHARS]}")
    return "\n".join(lines)
