"""The one door for reads beside a call: a check, a dry run, a fingerprint, a lookup, data that is read again.

What such a read needs is what a call that the agent proposed needs, but for people: nobody is asked about it. Granted,
a read, allowed by the policy, held by no stop, its tool at rest and within its rate; else it is not made, and whoever
needed it is told why. Made or not, it stands in the run's trace and in the log of events.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents.models import Agent, ToolCall
from agents.runtime.binding import as_action, tool_context
from agents.runtime.journal import give_back_connection
from agents.runtime.lineage import agents_above
from agents.runtime.performing import Attempt, perform
from agents.runtime.versions import version_of
from agents.states import CallStatus
from agents.tools.asking import NotMade, Purpose, Why
from agents.tools.breaker import breakers
from agents.tools.limiting import seconds_until_free
from agents.tools.results import Denied, NotFound, ResultType, ToolFailure
from agents.tools.spec import Effect, Tool, ToolContext
from agents.tools.validation import BadArguments, validate
from approvals.digest import digest_of
from approvals.exceptions import Halted
from approvals.halts import NOT_HALTED, require_running
from approvals.policy import Outcome, Verdict, evaluate, stricter
from traces.models import Span, SpanStatus
from traces.recorder import Recorded, note, page, record, write_spans
from traces.statement import Condition, Statement
from traces.storable import storable

KEPT_CHARS = 4000  # of what a read returned, in the trace
_FAILURES = {ResultType.NOT_FOUND: NotFound, ResultType.DENIED: Denied}


def asking_context(call: ToolCall, *, agent: str, actor: str = "") -> ToolContext:
    """What a tool is told of the call, with the door for the reads that it needs; `actor` needs them, else the agent."""
    context = tool_context(call, agent=agent)
    return replace(context, ask=Reads(call, context, actor or f"agent:{agent}").ask)


@dataclass(frozen=True, slots=True)
class Reads:
    """The reads that serve one call."""

    call: ToolCall
    context: ToolContext
    actor: str

    def ask(self, tool: Tool, arguments: dict[str, Any], purpose: Purpose) -> Any:
        """What `tool`, one of the agent's, returns. Raises NotMade, and ToolFailure as the tool does."""
        started_at = timezone.now()
        try:
            attempt = self._attempt(tool, arguments, purpose)
        except NotMade as refusal:
            self._record(tool, arguments, purpose, started_at, str(refusal.why), {"message": str(refusal)})
            raise
        kind = str(attempt.result["type"])
        self._record(tool, arguments, purpose, started_at, kind, attempt.result)
        if attempt.status == CallStatus.SUCCEEDED:
            return attempt.result["data"]
        failure = _FAILURES.get(ResultType(kind), ToolFailure)
        raise failure(attempt.result["message"], retryable=bool(attempt.result.get("retryable")))

    def _attempt(self, tool: Tool, arguments: dict[str, Any], purpose: Purpose) -> Attempt:
        """Call the tool, if it may be called and can be now. Raises NotMade."""
        _require_readable(tool, self.context)
        again = purpose is Purpose.REFRESH
        if not again:
            _require_fitting(tool, self.context, arguments)
        _require_allowed(self.call, tool, arguments, again=again)
        give_back_connection()
        if since := breakers.unavailable_since(tool):
            message = f"{tool.name} is unavailable since {since:%H:%M:%S} UTC. Try again later."
            raise NotMade(Why.UNAVAILABLE, message)
        if wait := seconds_until_free(tool):
            message = (
                f"{tool.name} was called {tool.rate_limit} times within a minute. Try again in {wait:.0f} s."
            )
            raise NotMade(Why.RATE_LIMITED, message)
        self._begin(tool, arguments, purpose)
        attempt = perform(tool, self.context, arguments)
        breakers.note(tool, failed=bool(attempt.result.get("retryable")))
        return attempt

    def _begin(self, tool: Tool, arguments: dict[str, Any], purpose: Purpose) -> None:
        """Write that the read begins, unless a stop stands: one that is pressed later finds it begun. Raises NotMade."""
        with page() as begun:
            record("tool_call.read_begun", **self._told(tool, arguments, purpose))
        conditions = [Condition(NOT_HALTED, (agent, tool.name)) for agent in self._agents]
        if Statement(conditions=conditions, added=begun.rows()).execute() is None:
            self._require_running(tool.name)
            message = f"{tool.name} is not called: an emergency stop stood a moment ago. Try again."
            raise NotMade(Why.HALTED, message)

    def _require_running(self, tool: str) -> None:
        """Raise NotMade while an emergency stop holds the tool."""
        try:
            for agent in self._agents:
                require_running(agent, tool=tool)
        except Halted as halt:
            message = f"{tool} is not called while an emergency stop stands: {halt}"
            raise NotMade(Why.HALTED, message) from halt

    @property
    def _agents(self) -> tuple[str, ...]:
        """Whose emergency stops hold the reads."""
        return self.call.run.version.agent.name, *agents_above(self.call.run)

    def _told(self, tool: Tool, arguments: dict[str, Any], purpose: Purpose, **more: str) -> dict[str, Any]:
        """What an event says of a read."""
        digest = digest_of({"tool": tool.digest, "arguments": storable(arguments)})
        return {
            "actor": self.actor,
            "object_id": self.call.pk,
            "run_id": self.call.run_id,
            "data": {"tool": tool.name, "purpose": str(purpose), "digest": digest, **more},
        }

    def _record(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        purpose: Purpose,
        started_at: datetime,
        outcome: str,
        result: dict[str, Any],
    ) -> None:
        run, made = self.call.run, "type" in result
        arguments = storable(arguments)
        span = Span(
            trace_id=run.trace_id,
            parent_id=run.root_span_id,
            name=f"execute_tool {tool.name}" if made else f"{tool.name} not called",
            operation="execute_tool" if made else "refuse_tool",
            started_at=started_at,
            ended_at=timezone.now(),
            status=SpanStatus.OK if outcome == ResultType.SUCCESS else SpanStatus.ERROR,
            error_type="" if outcome == ResultType.SUCCESS else outcome,
            run_id=run.pk,
            agent=self.context.agent,
            agent_version=run.version.number,
            tool=tool.name,
            preview=f"{purpose.capitalize()} of {self.call.tool}: {tool.in_words(arguments)}{'' if made else ' (not called)'}",
            attributes={"gen_ai.tool.call.id": str(self.call.pk), "gatehouse.purpose": str(purpose)},
        )
        with transaction.atomic():
            write_spans([Recorded(span=span, input=arguments, output=_bounded(result))])
            name = f"tool_call.{'read_beside' if made else 'not_read'}"
            note(name, **self._told(tool, arguments, purpose, outcome=outcome))


def _require_readable(tool: Tool, context: ToolContext) -> None:
    if tool.effect is not Effect.READ:
        raise NotMade(Why.NOT_A_READ, f"{tool.name} is {tool.effect}, and only a read may be asked.")
    if tool.suspended:
        raise NotMade(Why.SUSPENDED, tool.suspended)
    if tool.permission and tool.permission not in context.subject.get("permissions", ()):
        message = (
            f"the customer or user you act for lacks the right {tool.permission!r}, which {tool.name} needs."
        )
        raise NotMade(Why.NO_RIGHT, message)


def _require_fitting(tool: Tool, context: ToolContext, arguments: dict[str, Any]) -> None:
    try:
        validate(tool, context, arguments)
    except BadArguments as error:
        message = f"{tool.name} does not take these arguments: {str(error).rstrip('.')}."
        raise NotMade(Why.BAD_ARGUMENTS, message) from error
    except Denied as error:
        raise NotMade(Why.NO_RIGHT, str(error)) from error


def _require_allowed(call: ToolCall, tool: Tool, arguments: dict[str, Any], *, again: bool) -> None:
    """`again`: `call` is the same read, so that people who approved that one approved this one."""
    verdict = _judge(call, tool, arguments)
    if verdict.outcome is Outcome.DENY:
        raise NotMade(Why.DENIED, f"The policy denies this call of {tool.name}: {verdict.rule}.")
    if verdict.outcome is Outcome.REQUIRE and not (again and call.approval_id):
        message = f"The policy has people asked about this call of {tool.name}: {verdict.rule}."
        raise NotMade(Why.NEEDS_PERSON, message)


def _judge(call: ToolCall, tool: Tool, arguments: dict[str, Any]) -> Verdict:
    """What the run's policy says, or the agent's live one, where that is stricter."""
    run = call.run
    action = as_action(run, tool, arguments, tainted=call.tainted or bool(run.taint_sources))
    verdict = evaluate(action, run.version.parsed.rules())
    live = Agent.objects.filter(pk=run.version.agent_id).values_list("live_version", flat=True).first()
    if live is not None and live != run.version_id:
        verdict = stricter(verdict, evaluate(action, version_of(live).parsed.rules()))
    return verdict


def _bounded(result: dict[str, Any]) -> dict[str, Any]:
    text = str(result.get("data", result.get("message", "")))
    if len(text) <= KEPT_CHARS:
        return result
    return {**result, ("data" if "data" in result else "message"): f"{text[:KEPT_CHARS]}… (cut)"}
