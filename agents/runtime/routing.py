"""The router's model: to which class a request belongs, and whether it is simple. It calls no tools, whatever it says.

An answer that can't be used never stops a run: after its repairs the safe default is taken, and the step says so.
"""

from typing import Any

from django.utils import timezone

from agents.config import FastPath, Router
from agents.models import StepKind
from agents.runtime import context
from agents.runtime.asking import Answer, AskFailed
from agents.runtime.budgets import left
from agents.runtime.children import live_versions, open_child
from agents.runtime.degrading import RETRY_SECONDS
from agents.runtime.journal import entry
from agents.runtime.stretch import Stretch
from agents.runtime.structured import ask_structured
from agents.tools.spec import Category, Effect
from traces.recorder import Recorded, record, write_spans
from traces.storable import storable

CONFIDENCE = {"type": "number", "description": "0 to 1: how sure you are."}
REASON = {"type": "string", "description": "Why, in one sentence."}
ROUTE_DUTY = "Say to which class the request belongs. Don't work on it, and don't answer it."
TRIAGE_DUTY = (
    "Say whether the request is simple. If it is, and you need to look nothing up to answer it, answer it; else leave "
    "the answer empty. A request that asks for any change is never simple."
)


def route(stretch: Stretch) -> None:
    """Have the request classified, and start the run of the agent that works on requests of its class."""
    router = stretch.config.router
    if router is None:
        raise ValueError(f"{stretch.run} has no routes.")
    classes = "\n".join(f"- {route.name}: {route.when}" for route in router.routes)
    parsed, answer, failed = _ask(stretch, f"{ROUTE_DUTY}\n\n# Classes\n{classes}", _route_schema(router))
    name, why = _choose(router, parsed, failed)
    agent_of = {route.name: route.agent for route in router.routes}
    versions = live_versions(agent_of.values())
    if agent_of[name] not in versions and name != router.default:
        why = f"There is no live agent {agent_of[name]!r} for the route {name}: the default was taken. {why}"
        name = router.default
    version = versions.get(agent_of[name])
    if version is None:
        why = f"There is no live agent {agent_of[name]!r} for the route {name}."
    now, run = timezone.now(), stretch.run
    usage = _usage(stretch, answer, failed)
    part: dict[str, Any] = {"part": 1, "agent": agent_of[name], "run": None}
    with entry(run, "route", now=now, **usage):
        if version is not None:
            child = open_child(
                stretch, version, run.input, part=1, budget=left(stretch.config, run, usage), now=now
            )
            part["run"] = str(child.pk)
        payload = {
            "route": name,
            "agent": agent_of[name],
            "confidence": _confidence(parsed),
            "reason": storable(why),
            "parts": [part],
        }
        _write(stretch, payload, answer, failed, now)


def triage(stretch: Stretch) -> None:
    """Have it said whether the request is simple; one that can be answered at once is."""
    fast = stretch.config.fast_path
    if fast is None:
        raise ValueError(f"{stretch.run} has no fast path.")
    lookups = ", ".join(
        tool.name
        for tool in stretch.tools.values()
        if tool.category == Category.LOOKUP and tool.effect == Effect.READ and not tool.suspended
    )
    duty = f"{TRIAGE_DUTY}\n\n# Simple requests\n{fast.when}\nWhat can be looked up: {lookups or 'nothing'}."
    parsed, answer, failed = _ask(stretch, duty, TRIAGE_SCHEMA)
    path, why = _path(fast, parsed, failed)
    now, text = timezone.now(), str(parsed.get("answer") or "") if path == "fast" else ""
    with entry(stretch.run, "triage", now=now, **_usage(stretch, answer, failed)):
        payload = {"path": path, "confidence": _confidence(parsed), "reason": storable(why)}
        _write(stretch, payload, answer, failed, now)
        if text.strip():
            said = {"text": storable(text), "finish": "stop", "calls": 0}
            stretch.add_step(StepKind.MODEL, said, now=now)


TRIAGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "simple": {"type": "boolean"},
        "confidence": CONFIDENCE,
        "reason": REASON,
        "answer": {
            "type": "string",
            "description": "The answer where nothing must be looked up; else empty.",
        },
    },
    "required": ["simple", "confidence", "reason", "answer"],
    "additionalProperties": False,
}


def _route_schema(router: Router) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "route": {"enum": [route.name for route in router.routes]},
            "confidence": CONFIDENCE,
            "reason": REASON,
        },
        "required": ["route", "confidence", "reason"],
        "additionalProperties": False,
    }


def _ask(
    stretch: Stretch, duty: str, schema: dict[str, Any]
) -> tuple[dict[str, Any], Answer | None, AskFailed | None]:
    """What the model said, empty where that can't be used. Raises AskFailed where asking again later may help."""
    try:
        answer, parsed = ask_structured(
            stretch,
            role="router",
            system=context.system_prompt(stretch, "router", duty),
            messages=(context.task_message(stretch, with_plan=False),),
            schema=schema,
        )
    except AskFailed as failed:
        if failed.failure.retryable and not failed.hand_over and stretch.run.attempts <= len(RETRY_SECONDS):
            raise
        return {}, None, failed
    return parsed, answer, None


def _choose(router: Router, parsed: dict[str, Any], failed: AskFailed | None) -> tuple[str, str]:
    """The route, and why."""
    if failed is not None:
        return router.default, f"The default was taken, since the model gave no answer: {failed}"
    confidence = _confidence(parsed)
    if confidence < router.confidence_min:
        least = f"{router.confidence_min:.0%}"
        why = f"The default was taken, since the model was {confidence:.0%} sure of {parsed['route']}, below {least}."
        return router.default, f"{why} It said: {parsed['reason']}"
    return parsed["route"], parsed["reason"]


def _path(fast: FastPath, parsed: dict[str, Any], failed: AskFailed | None) -> tuple[str, str]:
    if failed is not None:
        return "full", f"It is planned, since the model gave no answer: {failed}"
    if parsed["simple"] and _confidence(parsed) < fast.confidence_min:
        return (
            "full",
            f"It is planned, since the model was only {_confidence(parsed):.0%} sure. {parsed['reason']}",
        )
    return "fast" if parsed["simple"] else "full", parsed["reason"]


def _confidence(parsed: dict[str, Any]) -> float:
    return min(1.0, max(0.0, float(parsed.get("confidence", 0.0))))


def _usage(stretch: Stretch, answer: Answer | None, failed: AskFailed | None) -> dict[str, Any]:
    if answer is not None:
        return answer.usage
    return {**(failed.usage if failed else {}), "work_ms": stretch.lap()}


def _write(
    stretch: Stretch, payload: dict[str, Any], answer: Answer | None, failed: AskFailed | None, now: Any
) -> None:
    spans: list[Recorded] = list(answer.spans if answer else failed.spans if failed else ())
    span_id = answer.recorded.span.pk if answer else ""
    step = stretch.add_step(StepKind.ROUTE, payload, now=now, span_id=span_id)
    write_spans(spans)
    record(
        "run.routed",
        actor=stretch.actor,
        object_id=str(step.seq),
        run_id=stretch.run.pk,
        data={name: payload[name] for name in ("route", "agent", "path") if name in payload},
    )
