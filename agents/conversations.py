"""What was said before: the earlier turns of a conversation, as a later one is told them."""

import json
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from agents.models import Run
from agents.states import RunStatus

FULL_TURNS = 10  # the latest, told in full
QUESTION_CHARS, ANSWER_CHARS = 2000, 4000  # of a turn told in full
FULL_CHARS = 16_000  # of all turns told in full
LINE_CHARS = 240  # of a question, and of an answer, told in short
SHORT_CHARS = 4000  # of all turns told in short, and of a summary
# One statement instead of the ORM's three, since every turn asks it.
READ = """
SELECT previous.summary, coalesce((
    SELECT json_agg(turn ORDER BY turn.created_at, turn.id) FROM (
        SELECT id, created_at, input, output, status, (
            SELECT json_agg(payload -> 'text' ORDER BY seq) FROM agents_step
            WHERE run_id = agents_run.id AND kind = 'message'
        ) AS said
        FROM agents_run
        WHERE session_id = session.id AND parent_id IS NULL AND ended_at IS NOT NULL
            AND (%(before)s::timestamptz IS NULL OR created_at < %(before)s)
    ) turn
), '[]')::text
FROM agents_conversation session LEFT JOIN agents_conversation previous ON previous.id = session.previous_id
WHERE session.id = %(id)s
"""

_KEPT = "_earlier_words"  # kept on the run object, that is for one stretch


@dataclass(frozen=True, slots=True)
class Turn:
    """One question with its answer; a run that gave none says how it ended."""

    question: str
    answer: str

    def in_full(self) -> str:
        """As the latest turns are told."""
        return f"User: {_cut(self.question, QUESTION_CHARS)}\nYou: {_cut(self.answer, ANSWER_CHARS)}"

    def in_short(self) -> str:
        """As older turns are told: one line."""
        question, answer = " ".join(self.question.split()), " ".join(self.answer.split())
        return f"- User: {_cut(question, LINE_CHARS)} You: {_cut(answer, LINE_CHARS)}"


def earlier_turns(run: Run) -> list[Turn]:
    """The turns of the run's session before it, oldest first; empty without a session."""
    if run.session_id is None:
        return []
    return turns_of(run.session_id, before=run)


def turns_of(session_id: UUID, *, before: Run | None = None) -> list[Turn]:
    """The turns of a session that are over, oldest first; of those that began before a run, if one is given."""
    _, turns = _read(session_id, before)
    return turns


def earlier_words(run: Run) -> str:
    """All that a later turn is told of the earlier ones, bounded; empty where there is nothing.

    The latest turns are told in full, those before them in short, and the session before in its summary. The same
    for a run however often it is asked, since what is over doesn't change.
    """
    kept: str | None = getattr(run, _KEPT, None)
    if kept is not None:
        return kept
    if run.session_id is None:
        return ""
    kept = _told(run, run.session_id)
    setattr(run, _KEPT, kept)
    return kept


def lend_words(run: Run, other: Run) -> None:
    """Have `run`, which belongs to no session, be told what `other` was told."""
    setattr(run, _KEPT, earlier_words(other))


def _told(run: Run, session_id: UUID) -> str:
    summary, turns = _read(session_id, run)
    full: list[str] = []
    while turns and len(full) < FULL_TURNS:
        words = turns[-1].in_full()
        if full and sum(map(len, full)) + len(words) > FULL_CHARS:
            break
        full.insert(0, words)
        turns.pop()
    parts = []
    if summary:
        parts.append(f"From the conversation before this one:\n{summary}")
    if turns:
        parts.append(f"In short:\n{in_short(turns)}")
    return "\n\n".join(parts + full)


def in_short(turns: list[Turn]) -> str:
    """These turns, a line each, within SHORT_CHARS: the first one and the latest stay."""
    lines = [turn.in_short() for turn in turns]
    if sum(map(len, lines)) <= SHORT_CHARS:
        return "\n".join(lines)
    kept: list[str] = []
    left = SHORT_CHARS - len(lines[0])
    for line in reversed(lines[1:]):
        if (left := left - len(line)) < 0:
            break
        kept.insert(0, line)
    missing = len(lines) - 1 - len(kept)
    return "\n".join([lines[0], f"- ({missing} turns are left out here)", *kept])


def _read(session_id: UUID, before: Run | None) -> tuple[str, list[Turn]]:
    """The summary of the session before, and the turns of this one."""
    values = {"id": session_id, "before": before.created_at if before else None}
    with connection.cursor() as cursor:
        cursor.execute(READ, values)
        summary, rows = cursor.fetchone()
    turns = [
        Turn("\n".join([row["input"], *(row["said"] or [])]), row["output"] or _without_answer(row["status"]))
        for row in json.loads(rows)
    ]
    return summary or "", turns


def _without_answer(status: str) -> str:
    if status == RunStatus.ESCALATED:
        return "(handed over to a person)"
    return f"(no answer: {status.replace('_', ' ')})"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
