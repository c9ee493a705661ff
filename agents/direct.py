"""Single calls without a model: another program's agent acts through the gateway, or a person has a call undone.

Such a call is a run like any other, with one step and one call in it: it passes the same gate, is traced, waits for
people without holding anything, and survives any crash.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from agents.exceptions import WrongState
from agents.models import AgentVersion, Run, Step, StepKind, ToolCall
from agents.runtime import leases, loop
from agents.runtime.journal import begin, write
from agents.runtime.stretch import Stretch
from agents.states import FINAL_CALL
from agents.tools.registry import tools_of
from agents.tools.spec import Effect, Tool
from approvals.access import Actor
from traces.models import Span
from traces.recorder import Recorded, page, record, write_spans
from traces.storable import storable

KEYS = UUID("6f6a1c1e-2b0a-4d52-9d0e-6c1f0f3f7d11")  # under which the keys of callers become ids of runs
LOCK = 0x63616C6C  # the class of Postgres' advisory locks by which one call of a user is stored at a time
TOOL_CHARS = 128  # of a name that somebody asks for
UNHEARD = timedelta(hours=1)  # for so long a result that nobody fetched is given to who asks the same again


def call_tool(
    *,
    version: AgentVersion,
    tool: str,
    arguments: dict[str, Any],
    actor: Actor,
    via: str = "",
    reason: str = "",
    key: str = "",
    subject: dict[str, Any] | None = None,
    trusted: bool = False,
    metadata: dict[str, Any] | None = None,
) -> ToolCall:
    """Take one call to its end, or to where it waits: for a person, for a tool that is in trouble, for a stop.

    `via` says which door a program came through; empty for a person. `key`, chosen by the caller, makes the call
    happen once however often it is asked for. Without one, a call with an effect that is asked for again while it
    is under way, or whose result nobody has fetched, is the same call. Raises WrongState for a key of another call.
    """
    now = timezone.now()
    tools, tool = tools_of(version.parsed), tool[:TOOL_CHARS]
    arguments, subject = storable(arguments), storable(subject or {})
    known = tools.get(tool)
    asked_before = partial(_asked_before, version, known, tool, arguments, actor, key, now=now)
    if earlier := asked_before():
        return call_of(earlier)
    run = Run(version=version, input="", subject=subject, created_at=now, started_by=actor.user)
    if key:
        run.pk = _id_of(version, actor.user, key)
    run.taint_sources = [] if trusted else [via or "input"]
    run.metadata = {**storable(metadata or {}), **({"via": via} if via else {})}
    run.input = known.in_words(arguments) if known else f"Call {tool}"
    step = Step(
        run=run, seq=1, kind=StepKind.CALL, payload={"text": reason, "via": via, "calls": 1}, created_at=now
    )
    call = ToolCall(
        run=run,
        step=step,
        index=0,
        provider_call_id=str(run.pk),
        tool=tool,
        proposed_arguments=arguments,
        arguments=arguments,
        created_at=now,
    )
    config = version.parsed
    stretch = Stretch(run=run, config=config, tools=tools, steps=[step], calls=[call], knows_requests=True)
    _begin(run, step, call, actor, now)
    if key or known is None or known.effect != Effect.READ:
        try:
            with transaction.atomic():
                if not key:
                    _wait_for_others(actor.user)
                    if earlier := asked_before():  # at the same moment
                        leases.let_go(run)
                        return call_of(earlier)
                write(run)
        except BaseException as error:
            leases.let_go(run)
            if isinstance(error, IntegrityError) and (earlier := asked_before()):
                return call_of(earlier)  # the same key at the same moment
            raise
    loop.go_on(stretch)
    return call


def call_of(run: Run) -> ToolCall:
    """The one call of such a run."""
    calls = ToolCall.objects.select_related("approval__decision__user", "run__version__agent")
    return calls.get(run=run, step__kind=StepKind.CALL)


def note_heard(run: Run) -> None:
    """Who asked has its result: whoever asks the same again means another call."""
    Run.objects.filter(pk=run.pk).update(metadata={**run.metadata, "heard": True})


def _asked_before(
    version: AgentVersion,
    tool: Tool | None,
    name: str,
    arguments: dict[str, Any],
    actor: Actor,
    key: str,
    *,
    now: datetime,
) -> Run | None:
    """The run that makes this call already."""
    runs = Run.objects.select_related("version__agent")
    if key:
        run = runs.filter(pk=_id_of(version, actor.user, key)).first()
        if run is not None:
            call = call_of(run)
            if (call.tool, call.proposed_arguments) != (name, arguments):
                raise WrongState(
                    f"The key {key[:80]!r} stands for another call, of {call.tool}: choose a new one."
                )
        return run
    if tool is None or tool.effect == Effect.READ:
        return None
    same = ToolCall.objects.filter(
        run__started_by=actor.user,
        run__version__agent=version.agent,
        run__created_at__gt=now - UNHEARD,
        step__kind=StepKind.CALL,
        tool=name,
        proposed_arguments=arguments,
    ).exclude(run__metadata__has_key="heard")
    latest = same.order_by("-created_at").select_related("run__version__agent").first()
    if latest is None or (latest.status in FINAL_CALL and not _is_worth_telling(latest)):
        return None
    return latest.run


def _is_worth_telling(call: ToolCall) -> bool:
    """Whether its end says something of the world: one that was refused or failed may be tried anew."""
    return call.status in ("succeeded", "reconciled", "denied", "unknown")


def _wait_for_others(user: User) -> None:
    """Until the transaction ends, no other call with an effect of this user is stored."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, user.pk])


def _begin(run: Run, step: Step, call: ToolCall, actor: Actor, now: datetime) -> None:
    leases.hold(run, now=now)
    agent = run.version.agent.name
    span = Span(
        id=run.root_span_id,
        trace_id=run.trace_id,
        name=f"invoke_agent {agent}",
        operation="invoke_agent",
        started_at=now,
        run_id=run.pk,
        agent=agent,
        agent_version=run.version.number,
        preview=run.input[:300],
    )
    with page() as recorded:
        write_spans([Recorded(span)])
        record(
            "run.started",
            actor=str(actor),
            object_id=run.pk,
            run_id=run.pk,
            data={"agent": agent, "tool": call.tool},
        )
    begin(run, step, call, recorded=recorded)


def _id_of(version: AgentVersion, user: User, key: str) -> UUID:
    return uuid5(KEYS, f"{version.agent_id}:{user.pk}:{key}")
