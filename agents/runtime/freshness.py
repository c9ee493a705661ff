"""Before an effect is claimed: what it rests on is read again where it is older than its tool allows.

That which changed, or could not be read again, sends an action that people approved back to them, with the new
data as evidence; one that only a rule allowed goes back to the agent.
"""

import json
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from agents.memory.stored_results import set_apart
from agents.models import StoredResult, ToolCall
from agents.runtime.availability import put_off
from agents.runtime.drift import drift
from agents.runtime.granted import free_place
from agents.runtime.journal import entry, move_call, write
from agents.runtime.reads import asking_context
from agents.runtime.requesting import UNSHOWN, ask_people, prepare
from agents.runtime.stretch import Stretch
from agents.runtime.window import result_max
from agents.states import CallStatus
from agents.tools.asking import NotMade, Purpose
from agents.tools.breaker import REST_SECONDS
from agents.tools.results import ResultType, ToolFailure
from agents.tools.spec import Effect, Tool
from approvals.eyes import terms_of
from approvals.halts import require_running
from approvals.models import Approval
from approvals.policy import Outcome, Verdict
from traces.recorder import record

SHOWN = 200  # characters of data in a sentence


def confirm(stretch: Stretch, call: ToolCall, tool: Tool) -> bool:
    """Whether the call may go on to its claim; if not, what becomes of it is stored. Raises Halted."""
    if (
        tool.effect == Effect.READ or call.may_have_happened
    ):  # the same effect again rests on what it did then
        return True
    try:
        stale = _stale(stretch, call, timezone.now())
        if not stale:
            return _as_asked(stretch, call, tool)
        require_running(stretch.agent)
        write(stretch.run)  # before code of a tool's author runs
        objections = [words for read in stale if (words := _read_again(stretch, call, read))]
        if objections:
            send_back(stretch, call, tool, " ".join(objections), why="older than the tool allows")
            return False
        return _as_asked(stretch, call, tool)
    except NotMade as trouble:  # people have approved it, and need not do so again for that
        put_off(stretch, call, str(trouble), seconds=REST_SECONDS)
        return False


def _as_asked(stretch: Stretch, call: ToolCall, tool: Tool) -> bool:
    """Whether the call rests on what it did when people approved it; if not, they are asked again."""
    if tool.fingerprint is None or call.approval_id is None:
        return True
    require_running(stretch.agent)
    write(stretch.run)  # before code of a tool's author runs
    changed = drift(call, tool, agent=stretch.agent)
    if changed:
        send_back(stretch, call, tool, changed, why="its tool told another fingerprint just before it ran")
    return not changed


def _stale(stretch: Stretch, call: ToolCall, now: datetime) -> list[ToolCall]:
    """What was read before the call was proposed and is too old now; of the same question only the latest."""
    latest: dict[str, ToolCall] = {}
    for read in stretch.calls[: stretch.calls.index(call)]:
        known = stretch.tools.get(read.tool)
        if known and known.fresh_seconds and read.status == CallStatus.SUCCEEDED and read.fetched_at:
            latest[f"{read.tool} {json.dumps(read.arguments, sort_keys=True)}"] = read
    return [
        read
        for read in latest.values()
        if read.fetched_at
        and read.fetched_at + timedelta(seconds=stretch.tools[read.tool].fresh_seconds) < now
    ]


def _read_again(stretch: Stretch, call: ToolCall, read: ToolCall) -> str:
    """Read anew, and keep what came: in words what speaks against the effect, empty if it is as it was.

    Raises NotMade where an action that people approved can have it read later.
    """
    tool, started_at = stretch.tools[read.tool], timezone.now()
    context, error, kind = asking_context(read, agent=stretch.agent), "", ResultType.SUCCESS
    data: Any = None
    try:
        data = context.ask(tool, read.arguments, Purpose.REFRESH)
    except ToolFailure as failure:
        error, kind = str(failure), failure.result_type
    except NotMade as refusal:
        if refusal.passes and call.approval_id is not None:
            raise
        error, kind = str(refusal), ResultType.ERROR
    before, after = _data(read), _text(data)
    changed = not error and before != after
    with entry(stretch.run, "read_again", now=timezone.now(), work_ms=stretch.lap()):
        if not error:
            result = {"type": kind, "data": data} if changed else read.result or {}
            _keep(stretch, read, result, started_at)
        record(
            "tool_call.read_again",
            actor=stretch.actor,
            object_id=read.pk,
            run_id=stretch.run.pk,
            data={"tool": read.tool, "changed": changed, "result": kind},
        )
    if error:
        return f"{tool.name} could not be read again: {error.rstrip('.')}."
    return f"{tool.name} said {_short(before)}, and says {_short(after)} now." if changed else ""


def _keep(stretch: Stretch, read: ToolCall, result: dict[str, Any], fetched_at: datetime) -> None:
    """Keep what a lookup says now; what it said before stands in the trace."""
    result = result | {"fetched_at": f"{fetched_at:%Y-%m-%dT%H:%M:%SZ}"}
    if not result.get("reference"):
        StoredResult.objects.filter(call=read).delete()
        result, apart = set_apart(read, result, limit=result_max(stretch.config), now=fetched_at)
        if apart is not None:
            apart.save(force_insert=True)
    ToolCall.objects.filter(pk=read.pk).update(result=result, fetched_at=fetched_at)
    read.result, read.fetched_at = result, fetched_at


def _data(read: ToolCall) -> str:
    """What a lookup returned, whole, as text."""
    result = read.result or {}
    if result.get("reference"):
        return _text(StoredResult.objects.values_list("text", flat=True).get(call=read))
    return _text(result.get("data"))


def _text(data: object) -> str:
    """The same for the same data, however it was stored: the order of keys gets lost on the way."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True)
    except ValueError:
        return text


def send_back(stretch: Stretch, call: ToolCall, tool: Tool, objection: str, *, why: str) -> None:
    """To the people who approved it, or to the agent where nobody had to."""
    now = timezone.now()
    approval = Approval.objects.filter(pk=call.approval_id).first() if call.approval_id else None
    verdict, shown = None, UNSHOWN
    if approval is not None:
        terms = terms_of(approval)
        verdict = Verdict(
            Outcome.REQUIRE,
            rule=f"What it rests on changed after it was approved: {objection}",
            why=why,
            approvers=approval.approvers,
            role=approval.role,
            roles=tuple(terms.roles),
            denials=terms.denials,
            hold=terms.hold,
        )
        shown = prepare(stretch, call, tool, verdict)
    with entry(stretch.run, "stale", now=now, work_ms=stretch.lap()):
        free_place(call, now)
        if verdict is not None:
            again = ask_people(stretch, call, tool, verdict, call.digest, shown)
            rule = f"{verdict.rule} ({verdict.why})"
            move_call(call, CallStatus.PENDING_APPROVAL, approval=again, rule=rule)
        else:
            message = f"It was not done, since what it rests on was too old. {objection} Propose it again if still right."
            result = {"type": ResultType.ERROR, "message": message, "retryable": True}
            move_call(call, CallStatus.REFUSED, result=result, ended_at=now)
        record(
            f"tool_call.{call.status}",
            actor=stretch.actor,
            object_id=call.pk,
            run_id=stretch.run.pk,
            data={"tool": call.tool, "digest": call.digest, "why": objection},
        )


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
