"""Sending: for one channel by one worker at a time, again after a failure, and as one message where there are many."""

import logging
import random
import threading
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

from approvals.exceptions import Invalid
from approvals.models import Approval
from approvals.states import ApprovalStatus
from console.notifications import push
from console.notifications.addresses import open_address
from console.notifications.models import Channel, Notice, NoticeStatus, Topic, Way
from console.notifications.quiet import quiet_until
from console.notifications.words import WAITING, Message, digest_of, message_of, test_message
from traces import sealing
from traces.recorder import record
from traces.redaction import redact_text

log = structlog.get_logger(__name__)

BACK_OFF = (5.0, 30.0, 120.0, 600.0, 3600.0)  # s, before each further attempt
JITTER = 0.2
BUSY_FOR = timedelta(minutes=3)  # longer than a worker can need for one round
MINUTE = timedelta(seconds=60)
AT_ONCE = 500  # notices of one round
ERROR_CHARS = 300


class NotSent(Exception):
    """It did not get out; `str()` is why, in words."""


class Gone(NotSent):
    """And never will: whoever was told there is there no more."""


def due_channels(*, now: datetime) -> list[int]:
    """The channels that have something to tell now."""
    due = Notice.objects.filter(status=NoticeStatus.WAITING, next_at__lte=now)
    free = Q(channel__busy_until=None) | Q(channel__busy_until__lt=now)
    return list(due.filter(free, channel__paused=False).values_list("channel", flat=True).distinct())


def wake_due(*, now: datetime) -> None:
    """Have a worker look at each channel that has something to tell."""
    from console.tasks import send_notices

    for channel_id in due_channels(now=now):
        try:
            send_notices.apply_async((channel_id,), retry=False)
        except OperationalError as error:
            log.warning("notice.wake_lost", channel=channel_id, error=str(error))


def send_due(channel_id: int, *, now: datetime) -> None:
    """Tell by this channel what is due. A worker that dies in between has told it, or it is told again."""
    free = Channel.objects.filter(Q(busy_until=None) | Q(busy_until__lt=now), pk=channel_id)
    if free.update(busy_until=now + BUSY_FOR) != 1:
        return
    try:
        channel = Channel.objects.select_related("user").get(pk=channel_id)
        for notices, message in _messages(channel, now=now):
            _attempt(channel, notices, message)
    finally:
        Channel.objects.filter(pk=channel_id).update(busy_until=None)


def send_test(channel: Channel, *, now: datetime) -> Notice:
    """Send a test at once, whatever the hour; what became of it stands on the notice that is returned."""
    notice = Notice.objects.create(channel=channel, created_at=now, next_at=now + BUSY_FOR)
    try:
        deliver(channel, test_message())
    except NotSent as error:
        _settle([notice], NoticeStatus.FAILED, error=str(error), attempts=1)
        if isinstance(error, Gone):
            _forget(channel)
    else:
        _settle([notice], NoticeStatus.TOLD, sent_at=timezone.now(), attempts=1, error="")
    notice.refresh_from_db()
    return notice


def deliver(channel: Channel, message: Message, *, urgent: bool = False) -> None:
    """Send one message by the channel. Raises NotSent."""
    if channel.way == Way.EMAIL:
        _mail(channel, message)
        return
    if channel.way == Way.PUSH:
        _push(channel, message, urgent=urgent)
        return
    try:
        sender = open_address(sealing.unseal(bytes(channel.sealed)))
    except (sealing.Unreadable, Invalid) as error:
        raise NotSent(str(error)) from error
    with _overheard() as said:
        try:
            sent = sender.notify(title=message.title, body=message.body, body_format="text")
        except Exception as error:  # a service's code may raise anything
            raise NotSent(_kept(f"{channel.scheme}: {type(error).__name__}")) from error
    if not sent:
        raise NotSent(_kept(" ".join(said)) or f"{channel.scheme} did not take it.")


def _messages(channel: Channel, *, now: datetime) -> list[tuple[list[Notice], Message]]:
    """What to send now, with the notices that each tells; what waits for later stays."""
    due = Notice.objects.filter(channel=channel, status=NoticeStatus.WAITING, next_at__lte=now)
    notices = list(due.order_by("created_at", "event_id")[:AT_ONCE])
    if notices and (ends_at := quiet_until(channel, now=now)):
        due.update(next_at=ends_at)
        return []
    requests = _requests(notices)
    stale = [notice for notice in notices if _is_stale(notice, requests)]
    _settle(stale, NoticeStatus.DROPPED)
    notices = [notice for notice in notices if notice not in stale]
    room = channel.burst - _lately(channel, now)
    if len(notices) <= room:
        return [
            ([notice], message_of(notice, requests.get(notice.object_id), with_title=channel.with_title))
            for notice in notices
        ]
    if room < 0 or not notices:
        return []  # the minute's digest is out: the next one follows
    if len(notices) == 1:
        return [
            (
                notices,
                message_of(notices[0], requests.get(notices[0].object_id), with_title=channel.with_title),
            )
        ]
    return [(notices, digest_of(notices))]


def _lately(channel: Channel, now: datetime) -> int:
    """Messages of the last minute."""
    sent = Notice.objects.filter(channel=channel, sent_at__gt=now - MINUTE, message__isnull=False)
    return sent.values("message").distinct().count()


def _requests(notices: Sequence[Notice]) -> dict[str, Approval]:
    """The requests that the notices are about, by id as the notice has it."""
    no_request = (Topic.HALTED, Topic.DELIVERY_FAILED, "")
    ids = {notice.object_id for notice in notices if notice.topic not in no_request}
    return {
        str(pk): approval for pk, approval in Approval.objects.in_bulk([uuid.UUID(pk) for pk in ids]).items()
    }


def _is_stale(notice: Notice, requests: dict[str, Approval]) -> bool:
    """Whether it says that something waits which does so no more."""
    if notice.topic not in WAITING:
        return False
    approval = requests.get(notice.object_id)
    return approval is None or approval.status != ApprovalStatus.PENDING


def _attempt(channel: Channel, notices: list[Notice], message: Message) -> None:
    attempts = max(notice.attempts for notice in notices) + 1
    try:
        deliver(channel, message, urgent=any(notice.topic == Topic.ASKED_HIGH for notice in notices))
    except Gone as error:
        _settle(notices, NoticeStatus.FAILED, error=str(error), attempts=attempts)
        _forget(channel)
    except NotSent as error:
        if attempts > len(BACK_OFF):
            _settle(notices, NoticeStatus.FAILED, error=str(error), attempts=attempts)
            return
        pause = BACK_OFF[attempts - 1] * (1 + JITTER * random.random())  # noqa: S311 (no secret)
        _rows(notices).update(
            attempts=attempts, next_at=timezone.now() + timedelta(seconds=pause), error=str(error)
        )
    else:
        told = {"sent_at": timezone.now(), "attempts": attempts, "message": uuid.uuid4(), "error": ""}
        _settle(notices, NoticeStatus.TOLD, **told)


def _settle(notices: Sequence[Notice], status: NoticeStatus, **values: object) -> None:
    if not notices:
        return
    first = notices[0]
    with transaction.atomic():
        _rows(notices).update(status=status, next_at=None, **values)
        if status != NoticeStatus.DROPPED and first.topic:
            record(
                f"notification.{status}",
                actor="system",
                object_id=first.object_id if len(notices) == 1 else "",
                data={
                    "channel": first.channel.name,
                    "channel_id": first.channel.pk,
                    "topics": sorted({notice.topic for notice in notices}),
                    "count": len(notices),
                },
            )


def _rows(notices: Sequence[Notice]) -> QuerySet[Notice]:
    return Notice.objects.filter(pk__in=[notice.pk for notice in notices], status=NoticeStatus.WAITING)


def _mail(channel: Channel, message: Message) -> None:
    address = channel.user.email if channel.user else ""
    if not settings.EMAIL_URL:
        raise NotSent("There is no mail server: an admin sets EMAIL_URL.")
    if not address:
        raise NotSent("This person has no e-mail address: an admin sets it.")
    try:
        sent = EmailMessage(subject=message.title, body=message.body, to=[address]).send()
    except OSError as error:  # what SMTP raises is one, too
        raise NotSent(_kept(f"The mail server did not take it: {type(error).__name__}: {error}")) from error
    if not sent:
        raise NotSent("The mail server did not take it.")


def _push(channel: Channel, message: Message, *, urgent: bool) -> None:
    if not channel.sealed:
        raise Gone("This browser takes no messages any more: subscribe in it again.")
    try:
        push.send(bytes(channel.sealed), message, urgent=urgent)
    except push.Refused as error:
        raise (Gone if error.is_gone else NotSent)(_kept(str(error))) from error


def _forget(channel: Channel) -> None:
    """Remove the subscription of a browser that is gone. The channel stays, paused, with what was told by it."""
    Channel.objects.filter(pk=channel.pk).update(sealed=b"", paused=True)
    Notice.objects.filter(channel=channel, status=NoticeStatus.WAITING).update(
        status=NoticeStatus.DROPPED, next_at=None
    )
    user = channel.user.get_username() if channel.user else ""
    record(
        "channel.gone",
        actor="system",
        object_id=str(channel.pk),
        data={"name": channel.name, "user": user, "way": channel.way, "scheme": channel.scheme},
    )


def _kept(text: str) -> str:
    return redact_text(" ".join(text.split()))[:ERROR_CHARS]


class _overheard(logging.Handler):  # noqa: N801 (used as a context)
    """What apprise logs in this thread: the only place where it says why something failed."""

    def __enter__(self) -> list[str]:
        self.thread = threading.get_ident()
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.addHandler(self)
        return self.said

    def __exit__(self, *error: object) -> None:
        logging.getLogger("apprise").removeHandler(self)

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.said: list[str] = []

    def emit(self, line: logging.LogRecord) -> None:
        if line.thread == self.thread:
            self.said.append(line.getMessage())
