"""Choosing the answer: a pure function of the conversation and the scripts."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jsonschema import Draft202012Validator

from agents.providers.tokens import estimate_tokens
from agents.simulator.conversation import Conversation
from agents.simulator.faults import Fault, FaultKind
from agents.simulator.filler import fill
from agents.simulator.scripts import PLACEHOLDER, Line, Script, Turn

NO_SCRIPT = (
    "This is the built-in simulator, standing in for a model. None of its scripts fits this conversation. "
    "Set a key for a real model, or add a script for it."
)
NO_CASE = "This is the built-in simulator. Its script {name!r} does not foresee what happened here."
# What the roles say where no script speaks for them, if it fits what they are asked for.
ANSWERS: dict[str, dict[str, Any]] = {
    "planner": {
        "goal": "Answer the request",
        "steps": [{"title": "Answer the request", "categories": []}],
        "needs_clarification": None,
    },
    "observer": {"verdict": "escalate", "confidence": 0.9, "summary": NO_SCRIPT, "feedback": ""},
}
REFUSAL = "I can't help with that."
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PlayedCall:
    """A tool call; `arguments` is a string where it must not be a JSON object."""

    name: str
    arguments: dict[str, Any] | str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the simulated model says; `finish` is stop, tool_calls, length or refusal."""

    text: str = ""
    calls: tuple[PlayedCall, ...] = ()
    answer: dict[str, Any] | str | None = None  # where a structured one is asked; a string is broken JSON
    finish: str = "stop"
    fault: Fault | None = None


def play(conversation: Conversation, scripts: Sequence[Script]) -> Reply:
    """The answer of the first script whose `when` fits, or a default one."""
    for script in scripts:
        found = re.search(script.when.user, conversation.first_user)
        if found:
            captures = {name: value for name, value in found.groupdict().items() if value is not None}
            captures |= _captured(script.capture, conversation.text)
            return _played(script, conversation, captures)
    if conversation.schema is not None:
        return Reply(answer=_unscripted(conversation.role, conversation.schema))
    return Reply(text=NO_SCRIPT)


def distort(reply: Reply, fault: Fault, conversation: Conversation) -> Reply:
    """`reply` as a misbehaving model would give it; unchanged for faults of the wire."""
    invented = PlayedCall(name=next(iter(conversation.tools), "no_such_tool"), arguments={})
    calls = reply.calls or (() if conversation.schema is not None else (invented,))
    match fault.kind:
        case FaultKind.MALFORMED_ARGUMENTS:
            broken = tuple(replace(call, arguments='{"amount": 12, ') for call in calls)
            answer = '{"verdict": ' if conversation.schema is not None else None
            return replace(reply, calls=broken, answer=answer, finish="tool_calls" if broken else "stop")
        case FaultKind.WRONG_TYPES:
            wrong = tuple(
                call
                if isinstance(call.arguments, str)
                else replace(call, arguments=_mistyped(call.arguments))
                for call in reply.calls
            )
            if isinstance(reply.answer, dict):
                return replace(reply, calls=wrong, answer=_mistyped(reply.answer))
            return replace(reply, calls=wrong)
        case FaultKind.UNKNOWN_TOOL:
            return replace(
                reply, calls=(PlayedCall("no_such_tool", {"q": "?"}),), answer=None, finish="tool_calls"
            )
        case FaultKind.EMPTY:
            return Reply()
        case FaultKind.TRUNCATED:
            return _cut(reply, keep=0.5)
        case FaultKind.REFUSAL:
            return Reply(text=REFUSAL, finish="refusal")
        case FaultKind.TEXT_CALL:
            written = [json.dumps({"name": call.name, "arguments": call.arguments}) for call in calls]
            text = "\n".join([reply.text, *(f"<tool_call>{call}</tool_call>" for call in written)])
            return Reply(text=text.strip())
        case FaultKind.PARALLEL_CALLS:
            base = reply.calls or (invented,)
            many = tuple(base[number % len(base)] for number in range(fault.calls))
            return replace(reply, calls=many, answer=None, finish="tool_calls")
    return reply


def within_limit(reply: Reply, max_tokens: int) -> Reply:
    """`reply`, cut off where it is longer than the request allows."""
    tokens = estimate_tokens(reply.text) + estimate_tokens(json.dumps(reply.answer or ""))
    return reply if tokens <= max(max_tokens, 1) or reply.calls else _cut(reply, keep=max_tokens / tokens)


def _played(script: Script, conversation: Conversation, captures: dict[str, str]) -> Reply:
    turns = script.turns(conversation.role)
    line = _line(turns, conversation) if turns else None
    fault = (line.fault if line else None) or script.fault
    if line is None:
        text = NO_CASE.format(name=script.name)
        answer = _filled(conversation.schema) if conversation.schema is not None else None
        return Reply(text="" if answer else text, answer=answer, fault=fault)
    answer = fill_in(line.answer, captures)
    if conversation.schema is not None:
        return Reply(answer=answer if answer is not None else _filled(conversation.schema), fault=fault)
    text = fill_in(line.text, captures) or (json.dumps(answer) if answer is not None else "")
    calls = tuple(PlayedCall(call.name, fill_in(call.arguments, captures)) for call in line.calls)
    return Reply(text=text, calls=calls, finish="tool_calls" if calls else "stop", fault=fault)


def _line(turns: tuple[Turn, ...], conversation: Conversation) -> Line | None:
    turn = turns[min(conversation.assistant_turns, len(turns) - 1)]
    if not turn.cases:
        return turn
    # The executor reacts to what has just come back; who judges looks at everything.
    heard = conversation.latest if conversation.role == "executor" else conversation.text
    return next((case for case in turn.cases if re.search(case.match, heard)), None)


def fill_in(value: Any, captures: dict[str, str]) -> Any:
    """`value` with its placeholders filled; a string that is nothing but `{name:number}` becomes a number."""
    if isinstance(value, dict):
        return {key: fill_in(part, captures) for key, part in value.items()}
    if isinstance(value, list):
        return [fill_in(part, captures) for part in value]
    if not isinstance(value, str):
        return value
    whole = PLACEHOLDER.fullmatch(value)
    if whole and whole[2]:
        return _number(captures.get(whole[1], ""))
    return PLACEHOLDER.sub(lambda found: captures.get(found[1], UNKNOWN), value)


def _number(written: str) -> float | None:
    digits = written.replace(",", "").strip()
    try:
        return int(digits) if re.fullmatch(r"[+-]?\d+", digits) else float(digits)
    except ValueError:
        return None


def _captured(patterns: dict[str, str], text: str) -> dict[str, str]:
    captures = {}
    for name, pattern in patterns.items():
        for found in re.finditer(pattern, text):
            captures[name] = (found[1] if found.re.groups else found[0]) or ""
    return captures


def _unscripted(role: str, schema: dict[str, Any]) -> dict[str, Any]:
    answer = ANSWERS.get(role)
    return answer if answer and Draft202012Validator(schema).is_valid(answer) else _filled(schema)


def _filled(schema: dict[str, Any]) -> dict[str, Any]:
    value = fill(schema)
    return value if isinstance(value, dict) else {}


def _mistyped(values: dict[str, Any]) -> dict[str, Any]:
    """Each value as another type: texts in a list, all else as a text."""
    return {name: [value] if isinstance(value, str) else str(value) for name, value in values.items()}


def _cut(reply: Reply, *, keep: float) -> Reply:
    if reply.answer is not None:
        written = json.dumps(reply.answer)
        return replace(reply, answer=written[: max(1, int(len(written) * keep))], finish="length")
    calls = tuple(replace(call, arguments=json.dumps(call.arguments)[:-1]) for call in reply.calls)
    return replace(reply, text=reply.text[: int(len(reply.text) * keep)], calls=calls, finish="length")
