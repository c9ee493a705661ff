"""Memories over runs: written when a run ends, and recalled by later runs for the same subject."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import F, Func, IntegerField, Q, QuerySet
from pgvector.django import CosineDistance

from agents.config import Endpoint
from agents.memory import lexical
from agents.memory.embeddings import Embedded, embed
from agents.memory.fusion import fuse
from agents.memory.subjects import subject_digest
from agents.models import Agent, Memory, MemoryKind, Run
from traces.storable import storable

CANDIDATES = 20  # of each ranking
SIMILARITY_MIN = 0.12  # cosine, below which two texts have nothing to do with each other
MAX_WORDS = 40  # of a query
MAX_CHARS = 2000  # of a memory

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Recalled:
    """A memory that was found, and why."""

    id: UUID
    text: str
    kind: str
    run_id: UUID | None  # in which it was made; None where that is deleted
    created_at: datetime
    tainted: bool
    score: float  # by reciprocal rank fusion
    why: str  # the ranks and figures, in words


def recall(
    *, agent: Agent, subject: dict[str, Any], text: str, count: int, now: datetime, embedded: Embedded | None
) -> list[Recalled]:
    """At most `count` unexpired memories of this agent about this subject that have to do with `text`, best first.

    Ranked by meaning, where `embedded` is the vector of `text` (None: no endpoint answered), and by words; the two
    rankings are fused. A memory whose vector another model made takes part by its words alone.
    Raises approvals' Invalid for a subject without a canonical form.
    """
    mine = Memory.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now), agent=agent, subject_digest=subject_digest(subject)
    )
    by_meaning, by_words = _by_meaning(mine, embedded), _by_words(mine, text)
    scores = fuse([list(by_meaning), list(by_words)])
    best = list(scores)[:count]
    rows = mine.in_bulk(best)
    return [
        Recalled(
            id=pk,
            text=rows[pk].text,
            kind=rows[pk].kind,
            run_id=rows[pk].run_id,
            created_at=rows[pk].created_at,
            tainted=rows[pk].tainted,
            score=round(scores[pk], 5),
            why=_why(pk, by_meaning, by_words),
        )
        for pk in best
        if pk in rows
    ]


def remember(
    *, run: Run, text: str, tainted: bool, endpoint: Endpoint | None, keep: float, now: datetime
) -> Memory:
    """What happened in a run, as a row to be kept for `keep` (s). Added by the entry that ends the run: exactly once.

    The lexical default embeds at once. Any other model is asked later (`re_embedding`): nothing here waits for a
    network, and until then the memory is found by its words.
    Raises approvals' Invalid for a subject without a canonical form.
    """
    text = storable(text[:MAX_CHARS])
    embedded = embed([text], endpoint=None) if endpoint is None else None
    return Memory(
        agent_id=run.version.agent_id,
        subject_digest=subject_digest(run.subject),
        kind=MemoryKind.EPISODIC,
        text=text,
        embedding=embedded.vectors[0] if embedded else None,
        embedded_by=embedded.by if embedded else "",
        run=run,
        tainted=tainted,
        created_at=now,
        expires_at=now + timedelta(seconds=keep),
    )


def _by_meaning(mine: QuerySet[Memory], embedded: Embedded | None) -> dict[UUID, float]:
    """Similarities, best first."""
    vector = embedded.vectors[0] if embedded else None
    if embedded is None or vector is None:
        return {}
    rows = (
        mine.filter(embedded_by=embedded.by, embedding__isnull=False)
        # An endpoint may change under its name: vectors of other lengths can't be compared.
        .annotate(length=Func(F("embedding"), function="vector_dims", output_field=IntegerField()))
        .filter(length=len(vector))
        .annotate(distance=CosineDistance("embedding", vector))
        .order_by("distance", "-created_at")
        .values_list("pk", "distance")[:CANDIDATES]
    )
    return {pk: 1 - distance for pk, distance in rows if 1 - distance >= SIMILARITY_MIN}


def _by_words(mine: QuerySet[Memory], text: str) -> dict[UUID, float]:
    """Ranks of full-text search for any of the words, best first."""
    words = telling_words(text)
    if not words:
        return {}
    query = SearchQuery(" or ".join(f'"{word}"' for word in words), search_type="websearch", config="simple")
    rows = (
        mine.filter(words=query)
        .annotate(rank=SearchRank(F("words"), query))
        .order_by("-rank", "-created_at")
        .values_list("pk", "rank")[:CANDIDATES]
    )
    return dict(rows)


def telling_words(text: str) -> Sequence[str]:
    """The words by which a text is looked up, each once: numbers, and words long enough to mean something.

    How long that is depends on the script alone, so that it holds in any language.
    """
    words = dict.fromkeys(word.lower() for word in _WORD.findall(text[: lexical.MAX_CHARS]))
    telling = [
        word for word in words if len(word) > 3 or any(char.isdigit() for char in word) or not word.isascii()
    ]
    return sorted(telling, key=len, reverse=True)[:MAX_WORDS]


def _why(pk: UUID, by_meaning: dict[UUID, float], by_words: dict[UUID, float]) -> str:
    parts = [
        f"number {list(found).index(pk) + 1} by {name} ({figure} {found[pk]:.3f})"
        for name, figure, found in (("meaning", "similarity", by_meaning), ("words", "rank", by_words))
        if pk in found
    ]
    return " and ".join(parts)
