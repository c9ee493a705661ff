"""Executing a call: claim it once, re-check what was approved, act with an idempotency key, record. No second path."""

import json
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from agents.exceptions import Changed, LeaseLost
from agents.memory.stored_results import granted, set_apart
from agents.models import ToolCall
from agents.runtime import availability, freshness, lookups
from agents.runtime.binding import tool_context
from agents.runtime.claiming import claim
from agents.runtime.journal import add, entry, give_back_connection, move_call
from agents.runtime.performing import Attempt, perform, slot
from agents.runtime.requesting import ask_what_happened
from agents.runtime.stretch import Stretch
from agents.runtime.window import result_max
from agents.states import FINAL_CALL, CallStatus
from agents.tools.spec import Effect, Tool
from traces.models import SpanStatus
from traces.recorder import Recorded, record, write_spans

MAX_ATTEMPTS = 3
STORE_PAUSES = (0.2, 0.5, 1, 2, 4)  # s


def execute_once(stretch: Stretch, call: ToolCall) -> None:
    """Claim an approved call, execute it, and store what became of it.

    The claim is committed before the effect, so a crash in between leaves the call `executing`, for `recover` to
    judge. Raises Changed, with nothing claimed, while an emergency stop stands and where a person wants the run to
    end or to pause; LeaseLost where another worker was first.
    """
    tool = stretch.tools[call.tool]
    held = lookups.held(stretch, call, tool)
    if held is None and not availability.admit(stretch, call, tool):
        return
    if not freshness.confirm(stretch, call, tool):
        return
    in_doubt = call.may_have_happened
    with slot(tool):
        if claim(stretch, call, tool):
            carry_out(stretch, call, held=held, in_doubt=in_doubt)


def carry_out(
    stretch: Stretch, call: ToolCall, *, held: Attempt | None = None, in_doubt: bool = False
) -> None:
    """Execute a call that this worker has just claimed, and store what became of it.

    `held` is what an earlier lookup returned, where that serves; `in_doubt`: an earlier attempt may have happened.
    """
    tool, started_at = stretch.tools[call.tool], timezone.now()
    attempt = held or lookups.stamped(
        tool,
        perform(tool, tool_context(call, agent=stretch.agent), call.arguments),
        fetched_at=started_at,
    )
    if held is None:
        availability.note(tool, attempt)
    if in_doubt and attempt.status == CallStatus.FAILED:
        # This attempt changed nothing; an earlier one, of which nobody knows, may have.
        attempt = replace(attempt, status=CallStatus.UNKNOWN)
    _keep(stretch, call, tool, attempt, started_at)


def _keep(stretch: Stretch, call: ToolCall, tool: Tool, attempt: Attempt, started_at: datetime) -> None:
    """Store what became of the call, and be patient: while the database is away, only this worker knows it."""
    for pause in STORE_PAUSES:
        try:
            _store(stretch, call, tool, attempt, started_at)
            return
        except (OperationalError, InterfaceError):
            call.status = CallStatus.EXECUTING  # as it stands in the database
            give_back_connection()
            time.sleep(pause)
    _store(stretch, call, tool, attempt, started_at)


def _store(stretch: Stretch, call: ToolCall, tool: Tool, attempt: Attempt, started_at: datetime) -> None:
    now = timezone.now()
    span = stretch.span(
        f"execute_tool {tool.name}",
        "execute_tool",
        started_at=started_at,
        ended_at=now,
        tool=tool.name,
        status=SpanStatus.OK if attempt.status == CallStatus.SUCCEEDED else SpanStatus.ERROR,
        error_type="" if attempt.status == CallStatus.SUCCEEDED else str(attempt.result["type"]),
        preview=attempt.error or tool.in_words(call.arguments),
        attributes={"gen_ai.tool.call.id": str(call.pk), "gatehouse.idempotency_key": call.idempotency_key},
    )
    result, apart = attempt.result | _edited(call), None
    retried = availability.may_retry(stretch, call, tool, attempt)
    again = retried or (
        attempt.status == CallStatus.UNKNOWN and tool.idempotent and call.attempts < MAX_ATTEMPTS
    )
    status = CallStatus.APPROVED if again else attempt.status
    if status in FINAL_CALL and not tool.built_in:  # those bound their own results
        result, apart = set_apart(call, result, limit=result_max(stretch.config), now=now)
    changes: dict[str, Any] = {"error": attempt.error, "span_id": span.pk}
    if attempt.fetched_at:
        changes["fetched_at"] = attempt.fetched_at
        changes["cache_key"] = lookups.cache_key(stretch, call, tool) if tool.cache_seconds else ""
        span.attributes["gatehouse.fetched_at"] = attempt.fetched_at.isoformat()
        span.attributes["gatehouse.cached"] = bool(result.get("cached"))
    if retried:
        # With a result it is known that this attempt changed nothing, so the next is not in doubt.
        changes |= {"result": result, "retry_at": now + availability.pause_after(call.attempts)}
    elif not again:
        changes |= {"result": result, "ended_at": now}
    run_changes: dict[str, Any] = {"work_ms": stretch.lap()}
    source = f"tool:{tool.name}"
    if tool.untrusted and status == CallStatus.SUCCEEDED and source not in stretch.run.taint_sources:
        run_changes["taint_sources"] = [*stretch.run.taint_sources, source]
    # Nothing is lost with a lookup, so where only the end of the run follows, that is written with it.
    later = stretch.is_direct and tool.effect == Effect.READ and status in FINAL_CALL
    try:
        with entry(
            stretch.run, "result", now=now, alone=status != CallStatus.UNKNOWN, later=later, **run_changes
        ):
            move_call(call, status, **changes)
            if apart is not None:
                add(apart)
            if status == CallStatus.UNKNOWN:
                ask_what_happened(stretch, call, tool)
            write_spans([Recorded(span=span, input=call.arguments, output=result)])
            record(
                f"tool_call.{'retried' if again else status}",
                actor=stretch.actor,
                object_id=call.pk,
                run_id=stretch.run.pk,
                data={"tool": call.tool, "result": result["type"], "attempt": call.attempts},
            )
    except (LeaseLost, Changed) as lost:
        _tell_late(stretch, call, attempt)
        raise LeaseLost(f"{call} was taken over: {lost}") from lost
    stretch.tools |= granted(stretch.tools, stretch.calls)


def _tell_late(stretch: Stretch, call: ToolCall, attempt: Attempt) -> None:
    """Another worker took the run over meanwhile; what became of the call is kept for the person who settles it."""
    with transaction.atomic():
        record(
            "tool_call.reported_late",
            actor=stretch.actor,
            object_id=call.pk,
            run_id=stretch.run.pk,
            data={"tool": call.tool, "result": attempt.result["type"], "attempt": call.attempts},
        )


def _edited(call: ToolCall) -> dict[str, str]:
    """What to tell the agent where a person changed its arguments."""
    if call.proposed_arguments == call.arguments:
        return {}
    before, after = call.proposed_arguments, call.arguments
    changed = [
        f"{name} from {json.dumps(before.get(name), ensure_ascii=False)} to {json.dumps(after.get(name), ensure_ascii=False)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return {"edited": f"An operator changed {', '.join(changed)} before approving."}
