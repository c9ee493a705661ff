"""What people and programs can do with agents and runs. Each: lock, re-check, change, record; wake after the commit."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from agents import rates, sessions
from agents.checking import check_config
from agents.config import AgentConfig
from agents.exceptions import BadConfig, BadInput, MissingRun, UnknownAgent, WrongState
from agents.goals import check_success
from agents.intake import queue_run
from agents.models import Agent, AgentVersion, Run
from agents.runtime.children import resume_below
from agents.runtime.dispatch import wake
from agents.runtime.versions import runnable_version
from agents.states import CLAIMABLE_RUN, RunStatus
from approvals.access import ADMIN, OPERATOR, SERVICE, Actor
from approvals.digest import digest_of
from approvals.exceptions import NotAllowed
from traces.recorder import record
from traces.storable import storable


def start_run(
    *,
    agent: str,
    input: str,
    subject: dict[str, Any] | None = None,
    conversation: str = "",
    task_type: str = "",
    metadata: dict[str, Any] | None = None,
    actor: Actor | None = None,
    trusted_input: bool = False,
    success: dict[str, Any] | None = None,
) -> Run:
    """Queue a run of the agent's live version. Raises UnknownAgent, BadInput, RateLimited, OtherSubject, ConversationFull.

    `trusted_input`: a person of the team wrote the input; else what the run proposes is tainted from the start.
    `success`: a JSON Schema of the object that the run must yield; its output is then that object as JSON.
    `conversation`: runs of the agent under one key are turns of one session. While an earlier one goes on the run
    waits for it; where the agent takes messages in, that going run is told instead, and returned.
    """
    version = runnable_version(agent)
    check_input(version, input)
    now, subject, conversation = timezone.now(), storable(subject or {}), storable(conversation)
    with transaction.atomic():
        rates.require_agent_and_user(version=version, subject=subject, actor=actor, now=now)
        columns: dict[str, Any] = {
            "subject": subject,
            "conversation": conversation,
            "task_type": storable(task_type),
            "metadata": storable(metadata or {}),
            "started_by": actor.user if actor else None,
            "taint_sources": [] if trusted_input else ["input"],
            "success": check_success(success),
        }
        if not conversation:
            return queue_run(version=version, input=input, now=now, actor=actor, **columns)
        session = sessions.join(version=version, key=conversation, subject=subject, actor=actor, now=now)
        standing = sessions.standing(session, since=now - rates.MINUTE)
        rates.require_session(session, standing.newest, limit=version.parsed.rates.session, now=now)
        if (session.messages or session.previous_id) and trusted_input:
            columns["taint_sources"] = ["conversation"]  # what was said and read before comes with it
        at, counted = sessions.count_message(session, now=now)
        if standing.going and version.parsed.conversations.busy == "take_in":
            return sessions.say(
                standing.going, counted, text=input, actor=actor, trusted=trusted_input, at=at
            )
        if standing.going:
            columns["wake_at"] = sessions.NEVER
            transaction.on_commit(lambda: sessions.let_next_begin(session.pk))
        return queue_run(
            version=version, input=input, now=at, actor=actor, session=session, with_it=counted, **columns
        )


def cancel_run(*, run_id: UUID, actor: Actor | None, reason: str = "") -> Run:
    """Ask the run to end; it does at its next step, and what it still asked is cancelled.

    Without an actor it is the console itself that ends it. Raises WrongState, NotAllowed, MissingRun.
    """
    return _request(run_id, "cancel", actor=actor, reason=reason)


def pause_run(*, run_id: UUID, actor: Actor) -> Run:
    """Ask the run to stop at its next step until it is resumed."""
    return _request(run_id, "pause", actor=actor)


def resume_run(*, run_id: UUID, actor: Actor) -> Run:
    """Let a paused run go on. Raises WrongState."""
    with transaction.atomic():
        run = lock_run(run_id, actor)
        if run.status != RunStatus.PAUSED:
            raise WrongState(f"Run {run.pk} is {run.status}; only a paused run can be resumed.")
        _queue(run)
        resume_below(run, actor=str(actor))
        record("run.resumed", actor=str(actor), object_id=run.pk, run_id=run.pk)
        transaction.on_commit(lambda: wake(run.pk))
    return run


def publish(
    *, name: str, config: dict[str, Any], actor: User | None, note: str = ""
) -> tuple[AgentVersion, bool]:
    """Publish a configuration as the agent's next version, live from now on; the agent is made where it is new.

    Returns the version and whether it is new: the configuration that is live already publishes nothing.
    Raises BadConfig, whose errors name each place.
    """
    parsed = check_config(config)
    _require_others(name, parsed)
    stored = parsed.model_dump(mode="json", exclude_defaults=True)
    digest = digest_of(stored)
    with transaction.atomic():
        agent, _ = Agent.objects.get_or_create(name=name)
        agent = Agent.objects.select_for_update(of=("self",)).select_related("live_version").get(pk=agent.pk)
        if agent.live_version is not None and agent.live_version.digest == digest:
            return agent.live_version, False
        latest = agent.versions.first()
        version = AgentVersion.objects.create(
            agent=agent,
            number=latest.number + 1 if latest else 1,
            config=stored,
            digest=digest,
            note=note,
            published_by=actor,
            published_at=timezone.now(),
        )
        Agent.objects.filter(pk=agent.pk).update(live_version=version)
        record(
            "agent.published",
            actor=f"user:{actor.get_username()}" if actor else "system",
            object_id=name,
            data={"version": version.number, "digest": digest, "note": note},
        )
    return version, True


def roll_back(*, name: str, number: int, actor: User | None) -> AgentVersion:
    """Publish an old version's configuration anew, as the next version. Raises UnknownAgent."""
    old = AgentVersion.objects.filter(agent__name=name, number=number).first()
    if old is None:
        raise UnknownAgent(f"There is no version {number} of agent {name!r}.")
    version, _ = publish(name=name, config=old.config, actor=actor, note=f"Back to v{number}")
    return version


def _require_others(name: str, config: AgentConfig) -> None:
    """A run that gives its whole task to its own agent never ends."""
    for place, route in enumerate(config.router.routes if config.router else ()):
        if route.agent == name:
            message = f"the route leads to {name} itself: name another agent."
            errors = [{"path": ["router", "routes", place, "agent"], "message": message}]
            raise BadConfig(f"router.routes.{place}.agent: {message}", errors=errors)


def check_input(version: AgentVersion, input: str) -> None:
    """Raise BadInput where the agent takes no such task."""
    limit = version.parsed.guardrails.input_max
    if not input.strip():
        raise BadInput(
            "The input is empty: say what the agent should do.",
            errors=[{"path": ["input"], "message": "empty"}],
        )
    if len(input) > limit:
        message = f"The input has {len(input):,} characters; {version.agent.name} takes at most {limit:,}."
        raise BadInput(message, errors=[{"path": ["input"], "message": message}])


def _request(run_id: UUID, what: str, *, actor: Actor | None, reason: str = "") -> Run:
    with transaction.atomic():
        run = lock_run(run_id, actor)
        if run.status not in CLAIMABLE_RUN and not (run.status == RunStatus.PAUSED and what == "cancel"):
            raise WrongState(f"Run {run.pk} is {run.status}: there is nothing to {what}.")
        if run.requested == "cancel" and what != "cancel":
            raise WrongState(f"Run {run.pk} was cancelled and ends at its next step: it can't {what}.")
        if run.status == RunStatus.PAUSED:
            _queue(run)
        # Whatever it waits for, the time to end or to pause has come.
        Run.objects.filter(pk=run.pk).update(
            requested=what, wake_at=None if run.status != "waiting_retry" else timezone.now()
        )
        run.requested = what
        record(
            f"run.{what}_requested",
            actor=str(actor or "system"),
            object_id=run.pk,
            run_id=run.pk,
            data={"reason": reason},
        )
        transaction.on_commit(lambda: wake(run.pk))
    return run


def _queue(run: Run) -> None:
    session_id = run.session_id
    wake_at = sessions.NEVER if session_id else None  # a turn goes on when it is the first that isn't over
    Run.objects.filter(pk=run.pk, status=run.status).update(
        status=RunStatus.QUEUED, reason="", wake_at=wake_at
    )
    run.status = RunStatus.QUEUED
    if session_id:
        transaction.on_commit(lambda: sessions.let_next_begin(session_id))


def lock_run(run_id: UUID, actor: Actor | None) -> Run:
    """The run, locked, if `actor` may steer it; the console itself (None) may. Raises NotAllowed, MissingRun."""
    rows = Run.objects.select_for_update(of=("self",)).select_related("version__agent").filter(pk=run_id)
    if actor is not None:
        if not actor.roles & {OPERATOR, ADMIN, SERVICE}:
            raise NotAllowed("Steering a run needs the role operator or admin.")
        if not actor.roles & {OPERATOR, ADMIN}:
            rows = rows.filter(started_by=actor.user)
    run = rows.first()
    if run is None:
        raise MissingRun(f"There is no run {run_id} that you may steer.")
    return run
