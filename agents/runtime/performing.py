"""Running a tool's code: within its time, in its slot, and with an honest word for what came of it."""

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings

from agents.runtime.journal import give_back_connection
from agents.states import CallStatus
from agents.tools.calling import within
from agents.tools.results import ResultType, ToldBefore, ToolFailure, UnknownOutcome
from agents.tools.spec import Effect, Tool, ToolContext
from traces.redaction import redact, redact_text

log = structlog.get_logger(__name__)

ERROR_CHARS = 4000  # that are kept of what went wrong

_effect_slots = threading.BoundedSemaphore(settings.EFFECT_SLOTS)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of an attempt."""

    status: CallStatus
    result: dict[str, Any]
    error: str = ""
    fetched_at: datetime | None = None  # how old its data is, where that matters


def perform(tool: Tool, context: ToolContext, arguments: dict[str, Any]) -> Attempt:
    """Run the tool's code, outside any transaction and within its time."""
    try:
        copied = copy.deepcopy(arguments)  # a tool may change what it is given
        data = within(tool.timeout, lambda: tool.run(context, copied), name=tool.name)
        return Attempt(CallStatus.SUCCEEDED, {"type": ResultType.SUCCESS, "data": _as_json(data)})
    except ToldBefore as told:
        done = told.result.get("type") == ResultType.SUCCESS
        return Attempt(CallStatus.SUCCEEDED if done else CallStatus.FAILED, _as_json(told.result))
    except ToolFailure as failure:
        result = {"type": failure.result_type, "message": str(failure), "retryable": failure.retryable}
        return Attempt(CallStatus.FAILED, redact(result), redact_text(str(failure))[:ERROR_CHARS])
    except UnknownOutcome as unknown:
        return _in_doubt(tool, str(unknown))
    except TimeoutError as error:
        return _in_doubt(tool, str(error) or f"{tool.name} timed out.")
    except Exception as error:  # a tool's code may raise anything
        log.exception("tool.raised", tool=tool.name, call=context.call_id)
        return _in_doubt(tool, f"{tool.name} broke off: {type(error).__name__}: {error}")


def _in_doubt(tool: Tool, message: str) -> Attempt:
    """Nothing came back. A read can be called failed; an effect may have happened."""
    message = redact_text(message)[:ERROR_CHARS]
    if tool.effect == Effect.READ:
        return Attempt(
            CallStatus.FAILED, {"type": ResultType.ERROR, "message": message, "retryable": True}, message
        )
    return Attempt(CallStatus.UNKNOWN, {"type": ResultType.UNKNOWN_OUTCOME, "message": message}, message)


def _as_json(data: Any) -> Any:
    """A tool's data as JSON, without secrets: copied, and what has no JSON form told in words."""
    return redact(json.loads(json.dumps(data, default=str)))


@contextmanager
def slot(tool: Tool, *, wait: bool = True) -> Iterator[bool]:
    """Few irreversible calls at a time, so that a crash leaves few in doubt. Yields whether one is free."""
    if tool.effect != Effect.IRREVERSIBLE:
        yield True
        return
    taken = _effect_slots.acquire(blocking=False)
    if not taken and wait:
        give_back_connection()
        taken = _effect_slots.acquire()
    try:
        yield taken
    finally:
        if taken:
            _effect_slots.release()
