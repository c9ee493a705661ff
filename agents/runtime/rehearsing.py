"""What a rehearsed run does instead of reaching the world.

`Stretch.load` puts a stand-in in the place of every tool but Gatehouse's own: a read by the same name, without any of
the code of the tool's author, that answers from a script. So its calls go through the gate as all calls do, and nothing
that could be let through has an effect. The policy asks nobody, and a tool that is no stand-in is denied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from agents.config import AgentConfig, ModelRef
from agents.conversations import lend_words
from agents.exceptions import BadConfig
from agents.models import Rehearsal, RehearsalKind, Run, Step, StepKind, StoredResult, ToolCall
from agents.runtime.journal import entry
from agents.runtime.lineage import STARTERS
from agents.runtime.reads import Reads
from agents.states import CallStatus
from agents.tools.asking import NotMade, Purpose
from agents.tools.results import ResultType, ToldBefore, ToolFailure
from agents.tools.spec import STAND_IN, Effect, Tool, ToolContext
from approvals.digest import digest_of
from approvals.exceptions import Invalid
from approvals.policy import Outcome, Verdict
from traces.recorder import record

if TYPE_CHECKING:
    from agents.runtime.stretch import Stretch

RULE = "rehearsal"
NOBODY = "Nobody is asked in a rehearsal: decide by what you know."
WITHHELD = {
    "withheld": True,
    "note": "This is a rehearsal: the call was taken as if it had been done, and nothing was done.",
}
# Of a stand-in: whatever could run code of the tool's author, reach a network, or hold the call back.
OFF: Mapping[str, Any] = {
    "effect": Effect.READ,
    "idempotent": True,
    "egress": False,
    "permission": "",
    "rate_limit": 0,
    "retries": 0,
    "fallback": "",
    "cache_seconds": 0.0,
    "fresh_seconds": 0.0,
    "title": None,
    "check": None,
    "preview": None,
    "fingerprint": None,
    "suspended": "",
    "undo": None,
    "checks": {},
    "dry_run": "",
    "fingerprint_by": "",
    "look_up": "",
    "lookup": None,
}
TYPES = frozenset(str(each) for each in ResultType)
LIVE_SLACK = 5.0  # s that a stand-in has beyond the tool that it asks
LARGE = ("size", "reference", "note")  # what a result has that is stored apart
ALLOWED = Verdict(Outcome.ALLOW, RULE, "nothing of it reaches the world")
DENIED = Verdict(Outcome.DENY, RULE, "this tool could reach the world")


@dataclass(frozen=True, slots=True)
class Script:
    """What the calls of a rehearsal are answered with, and the questions of its planner."""

    rehearsal: Rehearsal
    recorded: Mapping[str, Sequence[dict[str, Any] | None]]  # results of the other run: by call, in order
    answered: Sequence[dict[str, Any]]  # what people answered to its questions

    def answer(self, tool: Tool, call: ToolCall, calls: Sequence[ToolCall], context: ToolContext) -> Any:
        """What the call returns. `calls`: all of the run, in order. Raises ToldBefore, ToolFailure."""
        before = calls[: next(place for place, other in enumerate(calls) if other.pk == call.pk)]
        given: list[Any] = self.rehearsal.answers.get(call.tool, [])
        taken = sum(other.tool == call.tool and other.status != CallStatus.REFUSED for other in before)
        if taken < len(given):
            return _given(given[taken])
        key = key_of(call)
        known = self.recorded.get(key, ()) if key else ()
        nth = sum(key_of(other) == key for other in before if other.tool == call.tool)
        if nth < len(known) and (told := known[nth]) is not None:
            raise ToldBefore(told)
        return self._without_words(tool, call, context)

    def _without_words(self, tool: Tool, call: ToolCall, context: ToolContext) -> Any:
        """The same for a call that nothing is known of."""
        if self.rehearsal.kind == RehearsalKind.REPLAY:
            raise ToolFailure(
                f"This call is not in the recording of run {self.rehearsal.of_id}; nothing was done."
            )
        if tool.effect != Effect.READ:
            return WITHHELD
        if not self.rehearsal.changes.get("live_reads"):
            raise ToolFailure("This is a rehearsal, and this read has no recorded result; nothing was read.")
        try:
            return Reads(call, context, f"agent:{context.agent}").ask(tool, call.arguments, Purpose.REHEARSAL)
        except NotMade as refusal:
            raise ToolFailure(f"Nothing was read: {refusal}") from refusal


def script_of(run: Run) -> Script:
    """The script of a rehearsed run. Raises BadConfig where it has none."""
    rehearsal = Rehearsal.objects.select_related("of").filter(run=run).first()
    if rehearsal is None:
        raise BadConfig("It is a rehearsal, and nothing says of what.")
    if rehearsal.of is None:
        return Script(rehearsal, {}, ())
    lend_words(run, rehearsal.of)
    asked = Step.objects.filter(run=rehearsal.of, kind=StepKind.ANSWER).order_by("seq")
    return Script(rehearsal, recording_of(rehearsal.of), list(asked.values_list("payload", flat=True)))


def recording_of(run: Run) -> dict[str, list[dict[str, Any] | None]]:
    """What the run's calls were told, by `key_of` and in order; None where a call was told nothing yet."""
    found: dict[str, list[dict[str, Any] | None]] = {}
    for call, result in results_of(run):
        if key := key_of(call):
            found.setdefault(key, []).append(result)
    return found


def results_of(run: Run) -> list[tuple[ToolCall, dict[str, Any] | None]]:
    """The run's calls in order, each with what it was told, as a whole."""
    whole = dict(StoredResult.objects.filter(call__run=run).values_list("call_id", "text"))
    calls = ToolCall.objects.filter(run=run).order_by("step__seq", "index")
    return [(call, _whole(call.result, whole.get(call.pk))) for call in calls]


def key_of(call: ToolCall) -> str:
    """The same for two calls of one tool with the same arguments, as the model wrote them; empty where they have no
    canonical form: the gate refuses those.
    """
    try:
        return digest_of({"tool": call.tool, "arguments": call.proposed_arguments})
    except Invalid:
        return ""


def rehearsed_config(config: AgentConfig, changes: Mapping[str, Any]) -> AgentConfig:
    """The configuration with the changes, under which nobody is asked and no answer is given again. Raises BadConfig."""
    if config.pattern in STARTERS:
        raise BadConfig("Runs that have parts can't be rehearsed.")
    updates: dict[str, Any] = {
        "plan": config.plan.model_copy(update={"approve": False}),
        "answer_cache": None,
    }
    if instructions := changes.get("instructions"):
        updates["instructions"] = instructions
    if model := changes.get("model"):
        executor = with_model(config.models.executor, model)
        updates["models"] = config.models.model_copy(update={"executor": executor})
    return config.model_copy(update=updates)


def with_model(executor: ModelRef, model: str) -> ModelRef:
    """The executor with another model (`provider:model`), and none that stands in for it. Raises ValidationError."""
    other = ModelRef.model_validate(model)
    same = other.provider == executor.provider
    return executor.model_copy(
        update={
            "provider": other.provider,
            "model": other.model,
            "base_url": executor.base_url if same else None,
            "fallback": (),
        }
    )


def stand_ins(tools: Mapping[str, Tool], script: Script, calls: Sequence[ToolCall]) -> dict[str, Tool]:
    """The tools of a rehearsal. `calls` are those of the run; what is proposed later comes into the same list."""
    return {name: tool if tool.built_in else _stand_in(tool, script, calls) for name, tool in tools.items()}


def is_harmless(tool: Tool) -> bool:
    """Whether calling it can't reach the world: a stand-in, or Gatehouse's own."""
    return tool.built_in or tool.stands_in


def verdict_on(tool: Tool) -> Verdict:
    """What a rehearsal may do, whatever the policy says: nobody is asked."""
    return ALLOWED if is_harmless(tool) else DENIED


def answer_question(stretch: "Stretch", script: Script) -> None:
    """Answer the planner's question as people answered it in the other run, or say that nobody does."""
    run, now = stretch.run, timezone.now()
    nth = sum(step.kind == StepKind.ANSWER for step in stretch.steps)
    recorded = script.answered[nth] if nth < len(script.answered) else {}
    payload = {
        "question": stretch.steps[-1].payload["needs_clarification"],
        "text": recorded.get("text", NOBODY),
        "by": recorded.get("by", RULE),
    }
    with entry(run, "answer", now=now, work_ms=stretch.lap()):
        step = stretch.add_step(StepKind.ANSWER, payload, now=now)
        record("step.answered", actor=stretch.actor, object_id=str(step.seq), run_id=run.pk)


def _stand_in(tool: Tool, script: Script, calls: Sequence[ToolCall]) -> Tool:
    def run(context: ToolContext, arguments: dict[str, Any]) -> Any:
        call = next(each for each in calls if str(each.pk) == context.call_id)
        return script.answer(tool, call, calls, context)

    return replace(
        tool, **OFF, run=run, source=f"{STAND_IN}:{tool.source}", timeout=tool.timeout + LIVE_SLACK
    )


def _given(answer: Any) -> Any:
    """An answer that has the form of a result is told as it is; any other is the data of one."""
    if isinstance(answer, dict) and answer.get("type") in TYPES and {"data", "message"} & answer.keys():
        raise ToldBefore(answer)
    return answer


def _whole(result: Any, text: str | None) -> dict[str, Any] | None:
    """A result as it was before it was stored apart."""
    if not isinstance(result, dict):
        return None
    if text is None:
        return result
    key = "data" if "data" in result else "message"
    return {name: value for name, value in result.items() if name not in LARGE} | {key: text}
