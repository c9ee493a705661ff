"""Answers that can be given again: to the same question, of the same agent version and subject."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Func, IntegerField
from pgvector.django import CosineDistance

from agents.config import AnswerCache, Endpoint
from agents.memory.embeddings import Embedded, embed
from agents.memory.subjects import subject_digest
from agents.models import CachedAnswer, Run
from approvals.digest import digest_of

CANDIDATES = 5
PUNCTUATION = ".,;:!?()[]\"'"


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that was given before."""

    answer: str
    run_id: UUID  # which gave it
    created_at: datetime
    similarity: float  # 1: the same words
    question: str  # as it was asked then


def normalised(question: str) -> str:
    """The question as it is compared: neither case nor spacing makes a difference, nor how the sentence ends."""
    return " ".join(unicodedata.normalize("NFKC", question).casefold().split()).rstrip("?!. ")


def question_digest(run: Run) -> str:
    """SHA-256, in hex, of what the run was asked, and of the form in which it must answer."""
    return digest_of({"question": normalised(run.input), "success": run.success})


def find(*, run: Run, cache: AnswerCache, embedded: Embedded | None, now: datetime) -> Found | None:
    """The latest unexpired answer to exactly this question, or the nearest one to a question of the same meaning.

    By meaning only where it names the same numbers: "order 17" and "order 18" are near each other, and apart.
    Raises approvals' Invalid for a subject without a canonical form.
    """
    mine = CachedAnswer.objects.filter(
        version=run.version, subject_digest=subject_digest(run.subject), expires_at__gt=now
    )
    exact = mine.filter(question_digest=question_digest(run)).order_by("-created_at").first()
    if exact is not None:
        return _found(exact, 1.0)
    vector = embedded.vectors[0] if embedded else None
    if embedded is None or vector is None or cache.similarity >= 1 or run.success:
        return None
    near = (
        mine.filter(embedded_by=embedded.by, embedding__isnull=False)
        .annotate(length=Func(F("embedding"), function="vector_dims", output_field=IntegerField()))
        .filter(length=len(vector))
        .annotate(distance=CosineDistance("embedding", vector))
        .order_by("distance", "-created_at")[:CANDIDATES]
    )
    for row in near:
        similarity = 1 - row.distance
        if similarity >= cache.similarity and names(row.question) == names(run.input):
            return _found(row, similarity)
    return None


def keep(
    *, run: Run, answer: str, cache: AnswerCache, endpoint: Endpoint | None, now: datetime
) -> CachedAnswer:
    """The answer of a run that may be given again, as a row. Added by the entry that ends the run.

    As for memories, any model but the lexical default is asked for the vector later.
    Raises approvals' Invalid for a subject without a canonical form.
    """
    embedded = embed([run.input], endpoint=None) if endpoint is None else None
    return CachedAnswer(
        version=run.version,
        subject_digest=subject_digest(run.subject),
        question=run.input,
        question_digest=question_digest(run),
        embedding=embedded.vectors[0] if embedded else None,
        embedded_by=embedded.by if embedded else "",
        answer=answer,
        run=run,
        created_at=now,
        expires_at=now + timedelta(seconds=cache.keep),
    )


def names(question: str) -> set[str]:
    """What of a question names one thing and no other: all that holds a digit."""
    words = (word.strip(PUNCTUATION) for word in normalised(question).split())
    return {word for word in words if any(char.isdigit() for char in word)}


def _found(row: CachedAnswer, similarity: float) -> Found:
    return Found(row.answer, row.run_id, row.created_at, round(similarity, 4), row.question)
