"""Sessions: whose a conversation is, which of its turns may begin, and when it is over.

A turn that waits for those before it is queued with `wake_at` at NEVER, so the claim needs to know nothing of
sessions: `let_next_begin` gives the first one that isn't over a time that has come. Turns are added under the lock of
their session's row, each later than all before it. Whatever a lost message or a crash leaves, `sweep` finds.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists
from django.utils import timezone

from agents import rates
from agents.exceptions import ConversationFull, OtherSubject, RateLimited
from agents.intake import queue_run
from agents.models import AgentVersion, Conversation, Message, Run
from agents.runtime.dispatch import wake
from agents.states import FINAL_RUN, RunStatus
from approvals.access import PEOPLE, Actor
from approvals.digest import digest_of
from traces.models import Event
from traces.recorder import page, record
from traces.statement import Change, Statement
from traces.storable import storable

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def join(
    *, version: AgentVersion, key: str, subject: dict[str, Any], actor: Actor | None, now: datetime
) -> Conversation:
    """The open session under this key, locked until the commit; one is opened where there is none.

    Raises OtherSubject, ConversationFull, and RateLimited where the subject has too many sessions open.
    """
    from agents.closing import close, is_idle  # closing tells what the session was, which is much

    limits = version.parsed.conversations
    while True:
        open_ones = Conversation.objects.select_for_update(of=("self",)).filter(closed_at=None)
        session = open_ones.filter(agent=version.agent_id, key=key).first()
        if session is None:
            _open(version, key, subject, actor, now)
        elif is_idle(session, idle=limits.idle, now=now):
            close(session, now=now)
        else:
            break
    if session.subject_digest != digest_of(subject) or not _is_open_to(session, actor):
        raise OtherSubject(
            f"The conversation {key!r} with {version.agent.name} belongs to somebody else: choose another key."
        )
    if session.messages >= limits.messages:
        raise ConversationFull(
            f"The conversation {key!r} has {session.messages} messages, the most it may have:"
            " go on under another key."
        )
    return session


@dataclass(frozen=True, slots=True)
class Standing:
    """How a locked session stands."""

    going: UUID | None  # the latest turn that isn't over
    newest: list[datetime]  # when its latest messages came, the last one first


# The parts of a session's life that each turn passes through are plain SQL: the ORM's way to say the same took as
# long as the rest of a turn.
STANDING = """
SELECT (SELECT id FROM agents_run WHERE session_id = %(id)s AND parent_id IS NULL AND ended_at IS NULL
        ORDER BY created_at DESC, id DESC LIMIT 1),
    ARRAY(SELECT created_at FROM agents_run WHERE session_id = %(id)s AND created_at > %(since)s
        UNION ALL SELECT said_at FROM agents_message JOIN agents_run ON agents_run.id = run_id
        WHERE session_id = %(id)s AND said_at > %(since)s ORDER BY 1 DESC)
"""
ENDED = """
UPDATE agents_conversation SET last_at = greatest(last_at, %(at)s) WHERE id = %(id)s
RETURNING EXISTS (SELECT 1 FROM agents_message WHERE run_id = %(run)s AND taken_at IS NULL),
    EXISTS (SELECT 1 FROM agents_run WHERE session_id = %(id)s AND ended_at IS NULL)
"""


def standing(session: Conversation, *, since: datetime) -> Standing:
    """How the locked session stands, with its messages after `since`."""
    with connection.cursor() as cursor:
        cursor.execute(STANDING, {"id": session.pk, "since": since})
        going, newest = cursor.fetchone()
    return Standing(going, newest)


def count_message(session: Conversation, *, now: datetime) -> tuple[datetime, Change]:
    """The time of a new message, later than that of all before it, and what must be written with it."""
    at = max(now, session.last_at + TICK)
    return at, Change(Conversation, session.pk, {"messages": session.messages + 1, "last_at": at})


def say(run_id: UUID, counted: Change, *, text: str, actor: Actor | None, trusted: bool, at: datetime) -> Run:
    """Say something to a run that goes on, in a transaction; it takes that in at its next turn.

    What comes too late for the run becomes a run of its own.
    """
    message = Message(
        run_id=run_id, text=storable(text), trusted=trusted, said_by=str(actor or "system"), said_at=at
    )
    with page() as recorded:
        record("message.received", actor=message.said_by, object_id=message.pk, run_id=run_id)
    Statement(changes=[counted], added=[message, *recorded.rows()]).execute()
    recorded.announce()
    transaction.on_commit(lambda: carry_over(run_id))
    return Run.objects.select_related("version__agent").get(pk=run_id)


def let_next_begin(session_id: UUID) -> None:
    """Let the first turn that isn't over begin, if it waits for that."""
    first = Run.objects.filter(session=session_id, parent=None).exclude(status__in=FINAL_RUN)
    run_id = first.order_by("created_at", "pk").values_list("pk", flat=True).first()
    if run_id is not None:
        _begin([run_id])


def turn_ended(event: Event) -> None:
    """After a run of a session ended: what was said too late gets its run, and the next turn begins."""
    session_id = event.data.get("session")
    if session_id is None or event.name.removeprefix("run.") not in FINAL_RUN or event.run_id is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(ENDED, {"id": session_id, "run": event.run_id, "at": event.at})
        left, waiting = cursor.fetchone() or (False, False)
    if left:
        carry_over(event.run_id)
    if waiting:
        let_next_begin(UUID(session_id))


def carry_over(run_id: UUID) -> None:
    """Make each message that came too late for a run of a session a run of its own, in order."""
    left = Message.objects.filter(run=run_id, taken_at=None)
    over = Run.objects.filter(Exists(left), pk=run_id, status__in=FINAL_RUN, session__isnull=False)
    run = over.select_related("version__agent").first()
    if run is None or run.session_id is None:
        return
    with transaction.atomic():
        session = Conversation.objects.select_for_update(of=("self",)).get(pk=run.session_id)
        for message in left.select_for_update(of=("self",)).order_by("said_at", "pk"):
            at = max(timezone.now(), session.last_at + TICK)
            session.last_at = at
            carried = queue_run(
                version=run.version,
                input=message.text,
                now=at,
                session=session,
                subject=run.subject,
                conversation=run.conversation,
                task_type=run.task_type,
                metadata=run.metadata,
                taint_sources=["input"],
                started_by_id=run.started_by_id,
                wake_at=NEVER,
            )
            Message.objects.filter(pk=message.pk).update(taken_at=at)
            record(
                "message.carried_over",
                actor="system",
                object_id=message.pk,
                run_id=run.pk,
                data={"run": str(carried.pk)},
            )
        Conversation.objects.filter(pk=session.pk).update(last_at=session.last_at)
        transaction.on_commit(lambda: let_next_begin(session.pk))


def sweep(*, limit: int) -> None:
    """Find turns that may begin and messages that came too late, of which nobody heard."""
    late = Message.objects.filter(taken_at=None, run__status__in=FINAL_RUN, run__session__isnull=False)
    for run_id in late.order_by().values_list("run_id", flat=True).distinct()[:limit]:
        carry_over(run_id)
    waiting = Run.objects.filter(ended_at=None, status=RunStatus.QUEUED, wake_at=NEVER)
    first = (
        Run.objects.filter(session__in=waiting.values("session"), parent=None)
        .exclude(status__in=FINAL_RUN)
        .order_by("session", "created_at", "pk")
        .distinct("session")
    )
    ready = waiting.filter(pk__in=first.values("pk")).order_by("created_at")
    _begin(list(ready.values_list("pk", flat=True)[:limit]))


def _begin(run_ids: list[UUID]) -> None:
    """Wake those of these runs that wait for their turn. Which is first never changes, so a late caller does no harm."""
    for run_id in run_ids:
        waiting = Run.objects.filter(pk=run_id, status=RunStatus.QUEUED, wake_at=NEVER)
        if waiting.update(wake_at=None) == 1:
            wake(run_id)


def _open(
    version: AgentVersion, key: str, subject: dict[str, Any], actor: Actor | None, now: datetime
) -> None:
    """Open a session, unless another request just did. The one before it, of the same subject, is its `previous`."""
    digest, limits = digest_of(subject), version.parsed.conversations
    if subject:
        rates.lock(f"sessions {digest}")
        mine = Conversation.objects.filter(subject_digest=digest, agent=version.agent_id, closed_at=None)
        if mine.count() >= limits.open_per_user:
            raise RateLimited(
                f"This user has {limits.open_per_user} conversations with {version.agent.name} open, the most it may:"
                f" each closes when nothing was said for {limits.idle // 60} min.",
                retry_after=limits.idle,
            )
    before = Conversation.objects.filter(agent=version.agent_id, key=key, subject_digest=digest)
    previous = before.exclude(closed_at=None).order_by("-opened_at").first()
    session = Conversation(
        agent=version.agent,
        key=key,
        subject_digest=digest,
        previous=previous if previous and _is_open_to(previous, actor) else None,
        opened_at=now,
        last_at=now - TICK,
    )
    Conversation.objects.bulk_create([session], ignore_conflicts=True)
    if Conversation.objects.filter(pk=session.pk).exists():  # else another request was first
        record(
            "conversation.opened",
            actor=str(actor or "system"),
            object_id=session.pk,
            data={"agent": version.agent.name, "key": key},
        )


def _is_open_to(session: Conversation, actor: Actor | None) -> bool:
    """People see all runs; a program only those that it started, and so only sessions that it began."""
    if actor is None or actor.roles & PEOPLE:
        return True
    began = Run.objects.filter(session=session).order_by("created_at").values_list("started_by", flat=True)
    return began.first() in (None, actor.user.pk)
