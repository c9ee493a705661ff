"""Before a call may run: authorise, validate, judge by policy, and ask people where the policy says so."""

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from agents.models import ToolCall
from agents.runtime.binding import call_digest
from agents.runtime.claiming import Terms, at_once, holding, judge_by_policy, mark
from agents.runtime.execution import carry_out
from agents.runtime.focus import why_outside
from agents.runtime.granted import place_by, take
from agents.runtime.journal import entry, move_call, write
from agents.runtime.reads import asking_context
from agents.runtime.requesting import UNSHOWN, Shown, ask_people, flooding, prepare
from agents.runtime.stretch import Stretch
from agents.states import CallStatus
from agents.tools.results import Denied
from agents.tools.spec import Effect, Tool
from agents.tools.validation import MAX_ARGUMENT_CHARS, BadArguments, unknown_tool, validate
from approvals.denials import in_words, standing_denial
from approvals.exceptions import Invalid
from approvals.places import in_a_phrase
from approvals.policy import Outcome, Verdict
from approvals.standing import word_on
from traces.recorder import record

MAX_CALLS = 64  # in one turn


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to become of a proposed call."""

    status: CallStatus
    message: str = ""  # for the agent, where it does not run
    digest: str = ""
    rule: str = ""
    verdict: Verdict | None = None
    shown: Shown = UNSHOWN


def judge_all(stretch: Stretch) -> None:
    """Take every proposed call through validation and policy, and ask people where the policy says so.

    The first that a rule allows is claimed by the same write, where nothing is to be done before, and executed.
    """
    proposed = [call for call in stretch.calls if call.status == CallStatus.PROPOSED]
    tainted = bool(stretch.run.taint_sources)
    # Checks, titles and previews are the tools' code and may be slow: outside the transaction.
    judged = [(call, _judge(stretch, call, tainted=tainted)) for call in proposed]
    first = _claimable(stretch, judged)
    now = timezone.now()
    with entry(
        stretch.run,
        "judge",
        now=now,
        alone=True,
        later=first is None,
        conditions=holding(stretch, first.tool, _terms(first, judged)) if first else (),
        work_ms=stretch.lap(),
    ):
        for call, judgement in judged:
            tool = stretch.tools.get(call.tool)
            changes: dict[str, Any] = {
                "digest": judgement.digest,
                "rule": judgement.rule,
                "tainted": tainted,
                "effect": tool.effect if tool else "",
            }
            if judgement.status == CallStatus.PENDING_APPROVAL and tool and judgement.verdict:
                request = ask_people(
                    stretch,
                    call,
                    tool,
                    judgement.verdict,
                    judgement.digest,
                    judgement.shown,
                )
                changes["approval_id"] = request.pk
            elif judgement.status != CallStatus.APPROVED:
                kind = "denied" if judgement.status == CallStatus.DENIED else "error"
                changes |= {"result": {"type": kind, "message": judgement.message}, "ended_at": now}
            move_call(call, judgement.status, **changes)
            if call is first:
                continue  # its claim says it
            record(
                f"tool_call.{'allowed' if judgement.status == CallStatus.APPROVED else judgement.status}",
                actor=stretch.actor,
                object_id=call.pk,
                run_id=stretch.run.pk,
                data={
                    "tool": call.tool,
                    "digest": judgement.digest,
                    "rule": judgement.rule,
                    "why": judgement.message,
                },
            )
        if first is not None:
            mark(stretch, first, now)
    if first is not None:
        carry_out(stretch, first)


def _claimable(stretch: Stretch, judged: list[tuple[ToolCall, Judgement]]) -> ToolCall | None:
    for call, judgement in judged:
        if judgement.status == CallStatus.APPROVED:
            tool = stretch.tools[call.tool]
            free = not (stretch.run.requested or stretch.run.halted)
            # An irreversible one waits for its slot first.
            return call if free and tool.effect != Effect.IRREVERSIBLE and at_once(stretch, tool) else None
    return None


def _judge(stretch: Stretch, call: ToolCall, *, tainted: bool) -> Judgement:
    tool = stretch.tools.get(call.tool)
    if tool is None:
        return Judgement(CallStatus.REFUSED, unknown_tool(call.tool, stretch.tools))
    if tool.suspended:
        return Judgement(CallStatus.REFUSED, tool.suspended)
    if call.index >= MAX_CALLS:
        return Judgement(CallStatus.REFUSED, f"At most {MAX_CALLS} calls are taken in one turn.")
    if _is_repeated(stretch, call, tool):
        return Judgement(
            CallStatus.REFUSED, f"The call id {call.provider_call_id!r} was used before for this call."
        )
    if not isinstance(call.proposed_arguments, dict):
        return Judgement(
            CallStatus.REFUSED,
            f"The arguments of {tool.name} must be one JSON object of at most {MAX_ARGUMENT_CHARS:,} characters.",
        )
    if outside := why_outside(stretch, call, tool):
        return Judgement(CallStatus.REFUSED, outside)
    if tool.permission and tool.permission not in stretch.run.subject.get("permissions", ()):
        return Judgement(
            CallStatus.DENIED, f"The customer or user you act for lacks the right {tool.permission!r}."
        )
    context = asking_context(call, agent=stretch.agent)
    if tool.check or tool.preview or tool.fingerprint:
        write(stretch.run)  # before code of a tool's author runs
    try:
        validate(tool, context, call.arguments)
        digest = call_digest(stretch.run, tool, call.arguments)
    except BadArguments as error:
        return Judgement(
            CallStatus.REFUSED,
            f"The arguments don't fit: {str(error).rstrip('.')}. Correct them and try again.",
        )
    except Denied as error:
        return Judgement(CallStatus.DENIED, str(error))
    except Invalid as error:
        return Judgement(CallStatus.REFUSED, str(error))
    if any(other.digest == digest and other.status == CallStatus.DENIED for other in stretch.calls):
        return Judgement(
            CallStatus.REFUSED,
            "Exactly this call was denied before in this run. Don't propose it again.",
            digest,
        )
    verdict = judge_by_policy(stretch, call, tool, call.arguments, tainted=tainted)
    rule = f"{verdict.rule} ({verdict.why})"
    match verdict.outcome:
        case Outcome.ALLOW:
            return Judgement(CallStatus.APPROVED, digest=digest, rule=rule)
        case Outcome.DENY:
            return Judgement(CallStatus.DENIED, f"The policy denies this call: {verdict.rule}", digest, rule)
        case Outcome.REQUIRE | Outcome.MASK:  # which judges nothing: so it would be asked
            word = word_on(agent=stretch.agent, tool=tool.name, digest=digest)
            denial = (
                standing_denial(agent=stretch.agent, digest=digest, now=timezone.now())
                if word.denied
                else None
            )
            if denial is not None and not call.step.payload.get("undoes"):  # which a person asks for, anew
                return Judgement(CallStatus.REFUSED, in_words(denial), digest, rule)
            call.tainted = tainted
            if word.granted and (grant := take(stretch, call, tool, verdict, digest)):
                return Judgement(CallStatus.APPROVED, digest=digest, rule=f"{in_a_phrase(grant)} ({rule})")
            if not call.step.payload.get("undoes") and (why := flooding(stretch)):
                return Judgement(CallStatus.REFUSED, why, digest, rule)
            shown = prepare(stretch, call, tool, verdict)
            return Judgement(CallStatus.PENDING_APPROVAL, "", digest, rule, verdict, shown)


def _terms(call: ToolCall, judged: list[tuple[ToolCall, Judgement]]) -> Terms:
    """What the call is claimed with by the write that judges it."""
    judgement = next(judgement for other, judgement in judged if other is call)
    return Terms(call.arguments, judgement.digest, place=place_by(judgement.rule, call))


def _is_repeated(stretch: Stretch, call: ToolCall, tool: Tool) -> bool:
    """Whether the model sent one call twice: in one turn by its id, later by id and arguments."""
    for other in stretch.calls:
        if other.pk == call.pk:
            return False
        if other.provider_call_id != call.provider_call_id or other.status == CallStatus.REFUSED:
            continue
        same = other.tool == call.tool and other.proposed_arguments == call.proposed_arguments
        if other.step_id == call.step_id or (same and tool.effect != Effect.READ):
            return True
    return False
