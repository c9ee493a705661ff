"""Putting something to people: all that they need to decide, as it stands when it is asked."""

from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.utils import timezone

from agents.models import Run, ToolCall
from agents.questions import halt_if_flooding
from agents.runtime.binding import policy_digest
from agents.runtime.drift import fingerprint
from agents.runtime.novelty import past_of
from agents.runtime.reads import asking_context
from agents.runtime.stretch import Stretch
from agents.states import CallStatus
from agents.tools.asking import NotMade
from agents.tools.calling import within
from agents.tools.spec import Preview, Tool, ToolContext
from approvals import eyes
from approvals.digest import digest_of
from approvals.eyes import Needs, four_eyes
from approvals.models import Approval, Kind, Terms
from approvals.policy import Verdict
from approvals.requests import Request, request_approval
from approvals.risk import Risk, assess
from traces.redaction import redact_text
from traces.storable import storable

log = structlog.get_logger(__name__)

EVIDENCE_ITEMS = 12
EVIDENCE_CHARS = 4000
PREVIEW_SECONDS = 10
NEVER = 100 * 365 * 86_400  # s

RECONCILE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "outcome": {
            "enum": ["happened", "not_happened", "give_up"],
            "description": "not_happened runs it again with the same key.",
        },
        "note": {"type": "string", "maxLength": 2000, "description": "What you found; the agent is told."},
    },
    "required": ["outcome"],
    "additionalProperties": False,
}
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "string", "minLength": 1, "maxLength": 5000}},
    "required": ["answer"],
    "additionalProperties": False,
}


class Shown(NamedTuple):
    """What a call would do, as its tool tells it."""

    title: str = ""
    preview: dict[str, Any] = {}
    terms: Terms | None = None  # where people are to be asked
    risk: Risk = Risk("high", ())


UNSHOWN = Shown()


def ask_people(
    stretch: Stretch,
    call: ToolCall,
    tool: Tool,
    verdict: Verdict,
    digest: str,
    shown: Shown,
) -> Approval:
    """Put a call to the people whom the verdict names; inside a journal entry."""
    run = stretch.run
    return _put(
        stretch,
        Request(
            kind=Kind.ACTION,
            title=shown.title,
            tool=tool.name,
            arguments=call.arguments,
            digest=digest,
            parameters=tool.parameters,
            tool_digest=tool.digest,
            effect=tool.effect,
            risk=shown.risk.level,
            tainted=bool(run.taint_sources),
            taint_sources=list(run.taint_sources),
            rule=f"{verdict.rule} ({verdict.why})",
            policy_digest=policy_digest(run.version),
            reason=call.step.payload.get("text", ""),
            context={
                "task": run.input,
                "evidence": _evidence(stretch),
                "risk": list(shown.risk.reasons),
            },
            preview=shown.preview,
            agent=stretch.agent,
            agent_version=run.version.number,
            run_id=run.pk,
            call_id=call.pk,
            subject=run.subject,
            simulated=run.simulated,
            requested_by=run.started_by if call.step.payload.get("via") else None,
            role=verdict.role,
            approvers=verdict.approvers,
            expires_in=verdict.expires or settings.APPROVAL_SECONDS,
            terms=shown.terms,
        ),
    )


def prepare(stretch: Stretch, call: ToolCall, tool: Tool, verdict: Verdict) -> Shown:
    """What `ask_people` needs and the database or a tool's code must be asked for: before a journal entry."""
    run, context = stretch.run, asking_context(call, agent=stretch.agent)
    shown = show(tool, context, call.arguments)
    stakes = stakes_in(run)
    risk = assess(
        effect=tool.effect,
        egress=tool.egress,
        tainted=call.tainted,
        arguments=call.arguments,
        past=past_of(stretch, call),
    )
    needs = Needs(
        verdict.approvers,
        verdict.role,
        verdict.roles,
        tuple((stake["user"], stake["why"]) for stake in stakes),
        four_eyes(Kind.ACTION, tool.effect, risk.level),
    )
    asker = run.started_by_id if call.step.payload.get("via") else None
    terms = eyes.terms(
        needs,
        denials=verdict.denials,
        hold=verdict.hold,
        stakes=stakes,
        asker=asker,
        step_up=verdict.step_up,
    )
    terms.fingerprint = fingerprint(tool, context, call.arguments)
    return shown._replace(terms=terms, risk=risk)


def flooding(stretch: Stretch) -> str:
    """Count a question to people: why its agent is halted for asking too much; empty where it isn't. Not in an entry."""
    limit = stretch.config.limits.questions_per_hour
    return halt_if_flooding(stretch.agent, limit, now=timezone.now()) if limit else ""


def stakes_in(run: Run) -> list[dict[str, Any]]:
    """Who can't be the only one to approve what the run does."""
    return [
        *eyes.stake(run.started_by, "started the run"),
        *eyes.stake(run.version.published_by, "published the agent last"),
    ]


def ask_what_happened(stretch: Stretch, call: ToolCall, tool: Tool | None) -> Approval:
    """Ask a person what became of a call whose outcome is unknown; inside a journal entry. It never expires.

    `tool` is None where it is gone since.
    """
    run = stretch.run
    return _put(
        stretch,
        Request(
            kind=Kind.RECONCILE,
            title=f"Find out whether this happened: {tool.in_words(call.arguments) if tool else call.tool}",
            tool=call.tool,
            arguments=call.arguments,
            digest=call.digest,
            parameters=RECONCILE_SCHEMA,
            tool_digest=tool.digest if tool else "",
            effect=call.effect,
            risk="high",
            tainted=call.tainted,
            taint_sources=list(run.taint_sources),
            rule="A call whose outcome is unknown is never repeated by itself.",
            reason=call.step.payload.get("text", ""),
            context={
                "task": run.input,
                "idempotency_key": call.idempotency_key,
                "attempts": call.attempts,
                "started_at": call.started_at.isoformat() if call.started_at else None,
                "error": call.error or "The worker stopped before it could store what came back.",
            },
            agent=stretch.agent,
            agent_version=run.version.number,
            run_id=run.pk,
            call_id=call.pk,
            subject=run.subject,
            simulated=run.simulated,
            expires_in=NEVER,
        ),
    )


def ask_question(stretch: Stretch, question: str) -> Approval:
    """Put the planner's question to an operator; inside a journal entry."""
    run = stretch.run
    return _put(
        stretch,
        Request(
            kind=Kind.QUESTION,
            title=question,
            tool="",
            arguments={},
            digest=digest_of({"question": question, "run": str(run.pk), "step": stretch.steps[-1].seq}),
            parameters=ANSWER_SCHEMA,
            risk="low",
            tainted=bool(run.taint_sources),
            taint_sources=list(run.taint_sources),
            rule="The planner can't tell what is wanted.",
            context={"task": run.input, "step": stretch.steps[-1].seq},
            agent=stretch.agent,
            agent_version=run.version.number,
            run_id=run.pk,
            subject=run.subject,
            simulated=run.simulated,
            expires_in=settings.APPROVAL_SECONDS,
        ),
    )


def _put(stretch: Stretch, request: Request) -> Approval:
    approval = request_approval(request, actor=stretch.actor, now=timezone.now())
    stretch.requests.append(approval)
    return approval


def show(tool: Tool, context: ToolContext, arguments: dict[str, Any]) -> Shown:
    """What the call would do, in the words of its tool, whose code may ask the database: before a journal entry."""
    return Shown(tool.in_words(arguments), _preview(tool, context, arguments))


def _preview(tool: Tool, context: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
    """The tool's dry run; one that fails says so instead."""
    if tool.preview is None:
        return {}
    dry_run = tool.preview
    try:
        preview = within(PREVIEW_SECONDS, lambda: dry_run(context, arguments), name=f"preview of {tool.name}")
        if not isinstance(preview, Preview):
            raise TypeError(f"it returned {type(preview).__name__} instead of Preview")
    except NotMade as error:
        return {"error": redact_text(f"There is no preview: {error}")}
    except Exception as error:  # a tool's code may raise anything: the person is told, and decides
        log.warning("preview.failed", tool=tool.name, error=error)
        return {"error": redact_text(f"The preview failed: {error}")}
    return {
        "summary": preview.summary,
        "changes": [
            {"field": change.field, "before": _plain(change.before), "after": _plain(change.after)}
            for change in preview.changes
        ],
        "facts": {name: _plain(value) for name, value in preview.facts.items()},
    }


def risk_of(tool: Tool, *, tainted: bool) -> str:
    """How much depends on the decision, from what the tool declares."""
    return assess(effect=tool.effect, egress=tool.egress, tainted=tainted).level


def _evidence(stretch: Stretch) -> list[dict[str, Any]]:
    """What the agent had read when it proposed the call, newest last."""
    read = [call for call in stretch.calls if call.status == CallStatus.SUCCEEDED]
    return [
        {
            "tool": call.tool,
            "call_id": str(call.pk),
            "arguments": call.arguments,
            "result": _bounded(call.result),
            "untrusted": call.tool not in stretch.tools or stretch.tools[call.tool].untrusted,
        }
        for call in read[-EVIDENCE_ITEMS:]
    ]


def _bounded(value: Any) -> Any:
    text = str(value)
    return value if len(text) <= EVIDENCE_CHARS else text[:EVIDENCE_CHARS] + "… (cut)"


def _plain(value: Any) -> Any:
    known = isinstance(value, str | int | float | bool | None | list | dict)
    return storable(value if known else str(value))
