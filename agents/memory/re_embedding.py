"""Giving memories and kept answers vectors of the model that their agent uses now, in the background."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from kombu.exceptions import OperationalError

from agents.config import Endpoint
from agents.memory.embeddings import embed, embedded_by
from agents.models import Agent, CachedAnswer, Memory
from agents.providers.base import ModelFailure
from traces.models import Event
from traces.recorder import record

log = structlog.get_logger(__name__)

BATCH = 64
LOCK = 0x5EED  # the class of Postgres' advisory locks by which one at a time works on an agent


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: rows that got a vector now, and rows that still have none of the present model."""

    done: int
    left: int
    model: str
    failure: str = ""  # why it stopped before the end


def wake(agent: str) -> None:
    """Have some worker embed what is due of the agent. Losing the message costs time: upkeep finds what is due."""
    from agents.tasks import embed_memories  # the task module imports the loop, which imports memory

    try:
        embed_memories.apply_async((agent,), retry=False)
    except OperationalError as error:
        log.warning("re_embedding.wake_lost", agent=agent, error=str(error))


def wake_for(event: Event) -> None:
    """After something was remembered without a vector, or an agent may have got another model."""
    if event.name == "agent.published":
        wake(event.object_id)
    elif event.data.get("embedded") is False:
        wake(event.data["agent"])


def due_agents(*, now: datetime) -> list[Agent]:
    """The agents of which a memory or an answer has no vector of the present model."""
    memories = Memory.objects.filter(agent=OuterRef("pk"))
    answers = CachedAnswer.objects.filter(version=OuterRef("live_version"))
    agents = Agent.objects.filter(Exists(memories) | Exists(answers), live_version__isnull=False)
    agents = agents.select_related("live_version").order_by("name")
    return [agent for agent in agents if _left(agent, now)]


def re_embed(*, agent: Agent, now: datetime) -> Progress:
    """Embed all that has no vector of the agent's present model, in batches that are committed one by one.

    It can be stopped at any point and begun again; one works at a time on an agent, another does nothing. A row is
    written only as long as its words are those that were embedded. Each batch leaves the event `memory.re_embedded`
    with its counts; a model that fails ends it with `memory.re_embedding_failed`, told once.
    """
    if agent.live_version is None:
        return Progress(0, 0, "")
    endpoint = agent.live_version.parsed.models.embeddings
    with _alone(agent) as alone:
        return (
            _all_batches(agent, endpoint, now)
            if alone
            else Progress(0, _left(agent, now), embedded_by(endpoint))
        )


def _all_batches(agent: Agent, endpoint: Endpoint | None, now: datetime) -> Progress:
    model, done = embedded_by(endpoint), 0
    for rows, words in ((_memories(agent, now), "text"), (_answers(agent, now), "question")):
        due = rows.exclude(embedded_by=model).order_by("-created_at", "pk")
        while batch := list(due[:BATCH]):
            try:
                embedded = embed([getattr(row, words) for row in batch], endpoint=endpoint)
            except ModelFailure as failure:
                progress = Progress(done, _left(agent, now), model, str(failure))
                _tell_failure(agent, progress)
                return progress
            with transaction.atomic():
                for row, vector in zip(batch, embedded.vectors, strict=True):
                    same: dict[str, Any] = {"pk": row.pk, words: getattr(row, words)}
                    type(row).objects.filter(**same).update(embedding=vector, embedded_by=model)
                done += len(batch)
                _tell(agent, "memory.re_embedded", {"model": model, "done": done, "left": _left(agent, now)})
    return Progress(done, _left(agent, now), model)


@contextmanager
def _alone(agent: Agent) -> Iterator[bool]:
    """Whether nobody else works on the agent's vectors while the block runs; a process that dies lets go."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK, agent.pk])
        alone = bool(cursor.fetchone()[0])
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK, agent.pk])


def _memories(agent: Agent, now: datetime) -> QuerySet[Any]:
    return Memory.objects.filter(agent=agent).exclude(expires_at__lte=now)


def _answers(agent: Agent, now: datetime) -> QuerySet[Any]:
    return CachedAnswer.objects.filter(version=agent.live_version, expires_at__gt=now)


def _left(agent: Agent, now: datetime) -> int:
    assert agent.live_version is not None
    model = embedded_by(agent.live_version.parsed.models.embeddings)
    return sum(
        rows.exclude(embedded_by=model).count() for rows in (_memories(agent, now), _answers(agent, now))
    )


def _tell_failure(agent: Agent, progress: Progress) -> None:
    """It is tried again and again: the same failure is news only once."""
    latest = Event.objects.filter(object_id=agent.name, name__startswith="memory.").order_by("-pk").first()
    if latest is None or latest.data.get("why") != progress.failure:
        data = {
            "model": progress.model,
            "done": progress.done,
            "left": progress.left,
            "why": progress.failure,
        }
        _tell(agent, "memory.re_embedding_failed", data)


def _tell(agent: Agent, name: str, data: dict[str, Any]) -> None:
    with transaction.atomic():
        record(name, actor="system", object_id=agent.name, data={"agent": agent.name, **data})
