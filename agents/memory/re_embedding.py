"""Giving memories and kept answers vectors of the model that their agent uses now, in the background."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from agents.memory.embeddings import embed, embedded_by
from agents.models import Agent, CachedAnswer, Memory
from agents.providers.base import ModelFailure
from traces.recorder import record

BATCH = 64


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: rows that got a vector now, and rows that still have none of the present model."""

    done: int
    left: int
    model: str
    failure: str = ""  # why it stopped before the end


def due_agents(*, now: datetime) -> list[Agent]:
    """The agents of which a memory or an answer has no vector of the present model."""
    agents = Agent.objects.exclude(live_version=None).select_related("live_version").order_by("name")
    return [agent for agent in agents if _left(agent, now)]


def re_embed(*, agent: Agent, now: datetime) -> Progress:
    """Embed all that has no vector of the agent's present model, in batches that are committed one by one.

    It can be stopped at any point and begun again, and two at a time do no harm: each row is written only as long as
    its words are those that were embedded. Each batch leaves the event `memory.re_embedded` with its counts; a model that
    fails ends it with `memory.re_embedding_failed`.
    """
    if agent.live_version is None:
        return Progress(0, 0, "")
    endpoint = agent.live_version.parsed.models.embeddings
    model, done = embedded_by(endpoint), 0
    for rows, words in ((_memories(agent, now), "text"), (_answers(agent, now), "question")):
        due = rows.exclude(embedded_by=model).order_by("-created_at", "pk")
        while batch := list(due[:BATCH]):
            try:
                embedded = embed([getattr(row, words) for row in batch], endpoint=endpoint)
            except ModelFailure as failure:
                left = _left(agent, now)
                _tell(
                    agent,
                    "memory.re_embedding_failed",
                    {"model": model, "done": done, "left": left, "why": str(failure)},
                )
                return Progress(done, left, model, str(failure))
            with transaction.atomic():
                for row, vector in zip(batch, embedded.vectors, strict=True):
                    same: dict[str, Any] = {"pk": row.pk, words: getattr(row, words)}
                    type(row).objects.filter(**same).update(embedding=vector, embedded_by=model)
                done += len(batch)
                _tell(agent, "memory.re_embedded", {"model": model, "done": done, "left": _left(agent, now)})
    return Progress(done, _left(agent, now), model)


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


def _tell(agent: Agent, name: str, data: dict[str, Any]) -> None:
    with transaction.atomic():
        record(name, actor="system", object_id=agent.name, data={"agent": agent.name, **data})
