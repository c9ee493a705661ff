"""Whether the answer of a run states what nothing that it read bears out, and asking the agent to correct that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from agents.config import AgentConfig
from agents.conversations import earlier_words
from agents.guardrails.verification import Verification, verify
from agents.memory.scratchpad import SCRATCHPAD
from agents.models import Run, Step, StepKind, ToolCall
from agents.runtime.journal import entry
from agents.states import CallStatus
from agents.tools.spec import Tool
from traces.models import SpanStatus
from traces.recorder import Recorded, record, write_spans

if TYPE_CHECKING:
    from agents.runtime.stretch import Stretch

NOTHING = Verification(0, ())
# Kinds of steps whose words come from outside the run: people, memories, the answers of other runs.
READ = (StepKind.ANSWER, StepKind.MESSAGE, StepKind.RECALL, StepKind.GATHER, StepKind.STEER)
OWN_NOTES = frozenset(tool.name for tool in SCRATCHPAD)  # reading what one wrote bears nothing out
EARLIER_RUNS = 50


def check_answer(
    run: Run,
    config: AgentConfig,
    tools: Mapping[str, Tool],
    steps: Sequence[Step],
    calls: Sequence[ToolCall],
) -> Verification:
    """What the latest answer states and where it does not come from; nothing where no answer waits to be let through."""
    if config.guardrails.verify == "off":
        return NOTHING
    last = next((step for step in reversed(steps) if step.kind in (StepKind.MODEL, StepKind.VERIFY)), None)
    if last is None or last.kind == StepKind.VERIFY or last.payload.get("calls"):
        return NOTHING
    answer = str(last.payload["text"])
    found = verify(answer, _read(run, config, tools, steps, calls))
    if found.findings and (run.session_id or run.rehearsal):
        found = verify(answer, [*_read(run, config, tools, steps, calls), *_said_before(run)])
    return found


def ask_to_correct(stretch: Stretch) -> None:
    """Store what the answer states and nothing bears out; the agent is told at its next turn."""
    started_at = timezone.now()
    verification = stretch.verification()
    findings = [{"kind": found.kind, "text": found.text} for found in verification.findings]
    now = timezone.now()
    recorded = span_of(stretch, verification, started_at=started_at)
    with entry(stretch.run, "verify", now=now, alone=True, work_ms=stretch.lap()):
        step = stretch.add_step(
            StepKind.VERIFY,
            {"findings": findings, "checked": verification.checked},
            now=now,
            span_id=recorded.span.pk,
        )
        write_spans([recorded])
        record(
            "run.verified",
            actor=stretch.actor,
            object_id=str(step.seq),
            run_id=stretch.run.pk,
            data={"findings": len(findings)},
        )


def is_kept_back(steps: Sequence[Step]) -> bool:
    """Whether the latest answer was found to state what nothing bears out, so that it must not leave."""
    last = next((step for step in reversed(steps) if step.kind in (StepKind.MODEL, StepKind.VERIFY)), None)
    return last is not None and last.kind == StepKind.VERIFY


def told(payload: Mapping[str, Any]) -> str:
    """What the agent is told of a VERIFY step."""
    named = ", ".join(f"{found['text']} ({found['kind']})" for found in payload["findings"])
    return (
        f"Your answer was not sent. It states what stands in nothing that you have read: {named}. "
        "Look it up with a tool, or answer again without it. Never invent numbers, names or amounts."
    )


def span_of(stretch: Stretch, verification: Verification, *, started_at: Any) -> Recorded:
    """The span of one verification."""
    found = [finding.text for finding in verification.findings]
    span = stretch.span(
        "guardrail verify",
        "guardrail",
        started_at=started_at,
        ended_at=timezone.now(),
        status=SpanStatus.ERROR if found else SpanStatus.OK,
        error_type="unsupported" if found else "",
        preview=f"Not borne out: {', '.join(found)}"
        if found
        else f"{verification.checked} statements borne out",
        attributes={
            "gatehouse.guardrail": "verify",
            "gatehouse.guardrail.checked": verification.checked,
            "gatehouse.guardrail.findings": len(found),
        },
    )
    return Recorded(span=span, output={"checked": verification.checked, "findings": found})


def _read(
    run: Run,
    config: AgentConfig,
    tools: Mapping[str, Tool],
    steps: Sequence[Step],
    calls: Sequence[ToolCall],
) -> Iterator[Any]:
    """All that the agent was given, was told, or was allowed to do."""
    yield run.input
    yield run.subject
    yield config.instructions
    yield config.purpose
    yield config.guardrails.scope
    yield from (link.instructions for link in config.chain)
    yield from (tool.description for tool in tools.values())
    yield from (step.payload for step in steps if step.kind in READ or step.payload.get("approved_by"))
    for call in calls:
        if call.tool in OWN_NOTES:
            continue
        yield call.result
        if call.approval_id or call.status in (CallStatus.SUCCEEDED, CallStatus.RECONCILED):
            yield call.arguments  # that is what happened, or what a person saw


def _said_before(run: Run) -> Iterator[Any]:
    """What was said earlier in its conversation, and let through."""
    if run.rehearsal:  # it belongs to no conversation, and was told of one
        yield earlier_words(run)
        return
    earlier = Run.objects.filter(session_id=run.session_id, created_at__lt=run.created_at)
    for pair in earlier.order_by("-created_at").values_list("input", "output")[:EARLIER_RUNS]:
        yield from pair
    if run.session is not None and run.session.previous is not None:
        yield run.session.previous.summary
