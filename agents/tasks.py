"""Celery's doors into the runtime: a message in, one domain call."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from agents import batch_progress, brakes, closing, precedents
from agents.memory import re_embedding
from agents.models import Agent
from agents.runtime import granted, loop, recovery
from agents.runtime.journal import give_back_connection
from agents.tools import sources
from approvals import canaries
from approvals.holds import release_due


@shared_task(name="agents.advance_run", ignore_result=True)
def advance_run(run_id: str) -> None:
    """Carry a run over one stretch, where it is not to be woken at once: see `agents.runtime.pickup`."""
    look_at(UUID(run_id))


def look_at(run_id: UUID) -> None:
    """Carry a run over one stretch; whoever calls this needs no connection afterwards."""
    try:
        loop.advance(run_id)
    finally:
        give_back_connection()


@shared_task(name="agents.sweep", ignore_result=True)
def sweep() -> None:
    """Wake what should be moving and isn't."""
    try:
        recovery.sweep(now=timezone.now())
    finally:
        give_back_connection()


@shared_task(name="agents.upkeep", ignore_result=True)
def upkeep() -> None:
    """What need not be done at once: trip breakers, close conversations in which nobody says anything, free places."""
    now = timezone.now()
    try:
        brakes.check(now=now)
        closing.close_idle(now=now)
        granted.free_unclaimed(now=now)
        for agent in re_embedding.due_agents(now=now):
            re_embedding.wake(agent.name)
        precedents.keep_due(now=now)
        canaries.plant_due(now=now)
    finally:
        give_back_connection()


@shared_task(name="agents.advance_batches", ignore_result=True)
def advance_batches() -> None:
    """Start rows of batches as places become free."""
    try:
        batch_progress.advance_all(now=timezone.now())
    finally:
        give_back_connection()


@shared_task(name="agents.ask_sources", ignore_result=True)
def ask_sources() -> None:
    """Ask servers and documents whether their tools are as they were."""
    try:
        sources.ask_stale(now=timezone.now())
    finally:
        give_back_connection()


@shared_task(name="agents.summarise_session", ignore_result=True)
def summarise_session(session_id: str) -> None:
    """Have a model tell a conversation that was closed."""
    try:
        closing.summarise(UUID(session_id))
    finally:
        give_back_connection()


@shared_task(name="agents.embed_memories", ignore_result=True)
def embed_memories(agent: str) -> None:
    """Give the agent's memories vectors of its present model."""
    try:
        found = Agent.objects.select_related("live_version").filter(name=agent).first()
        if found is not None:
            re_embedding.re_embed(agent=found, now=timezone.now())
    finally:
        give_back_connection()


@shared_task(name="agents.keep_precedents", ignore_result=True)
def keep_precedents() -> None:
    """Make the vectors of what was decided just now."""
    try:
        precedents.keep_due(now=timezone.now(), newest=precedents.NEWEST)
    finally:
        give_back_connection()


@shared_task(name="agents.embed_precedents", ignore_result=True)
def embed_precedents(approval_id: str, agent: str) -> None:
    """Make the vector of one action, or of all actions of an agent by its present model."""
    try:
        if approval_id:
            precedents.keep(UUID(approval_id))
        else:
            precedents.re_embed(agent)
    finally:
        give_back_connection()


@shared_task(name="agents.release_held", ignore_result=True)
def release_held() -> None:
    """Let what was held long enough be approved."""
    try:
        release_due(now=timezone.now())
    finally:
        give_back_connection()
