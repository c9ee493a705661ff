"""Who is to be told of an event: as which topic, and which people or all."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User

from approvals.access import ADMIN, OPERATOR, PEOPLE, Actor, may_decide, roles_of
from approvals.attention.duty import on_duty, stand_in
from approvals.models import Approval, Kind, Watch
from console.notifications.models import PERSONAL, Channel, Topic
from traces.models import Event

RESOLVED = tuple(
    f"approval.{word}" for word in ("approved", "denied", "expired", "withdrawn", "cancelled", "answered")
)
OF_REQUESTS = ("approval.requested", "approval.escalated", "approval.edited", *RESOLVED)
OF_CARE = ("care.escalated", "care.expiring", "care.assigned", "comment.added")
OTHER = ("halt.pressed", "halt.lifted", "callback.dead", "notification.failed")
TOLD_OF = (*OF_REQUESTS, *OF_CARE, *OTHER)


@dataclass(frozen=True, slots=True)
class Word:
    """One thing to tell: to these people, or to all whom it concerns (None)."""

    topic: Topic
    users: frozenset[int] | None = None


class Audience:
    """Who hears of what, at `now`; knows each person once."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        channels = list(Channel.objects.filter(paused=False).select_related("user"))
        self.team = [channel for channel in channels if channel.user is None]
        people = {channel.user_id: channel.user for channel in channels if channel.user}
        self.people: dict[int, User] = {
            pk: user for pk, user in people.items() if pk and roles_of(user) & PEOPLE
        }
        self.of: dict[int, list[Channel]] = {pk: [] for pk in self.people}
        for channel in channels:
            if channel.user_id in self.of:
                self.of[channel.user_id].append(channel)
        self._on_duty = {pk: on_duty(user, now=self.now) for pk, user in self.people.items()}

    def channels_for(self, event: Event, approval: Approval | None) -> dict[int, tuple[Channel, Topic, str]]:
        """By id: the channels that tell of the event, each once, as what, and instead of whom."""
        found: dict[int, tuple[Channel, Topic, str]] = {}
        for word in words_of(event, approval):
            for channel, away in self._channels(word, approval):
                if word.topic in channel.topics:
                    found.setdefault(channel.pk, (channel, word.topic, away))
        return found

    def _channels(self, word: Word, approval: Approval | None) -> list[tuple[Channel, str]]:
        if word.users is None:
            reached = [(channel, "") for channel in self.team]
            for pk, user in self.people.items():
                if self._on_duty[pk] and _concerns(user, approval):
                    reached += self._of_person(user)
            return reached
        reached = [] if word.topic in PERSONAL else [(channel, "") for channel in self.team]
        for user in User.objects.filter(pk__in=word.users, is_active=True):
            reached += self._of_person(user)
        return reached

    def _of_person(self, user: User) -> list[tuple[Channel, str]]:
        """The person's channels, or those of who stands in."""
        stands = stand_in(user, now=self.now)
        away = user.get_username() if stands != user else ""
        return [(channel, away) for channel in self.of.get(stands.pk, ())]


def words_of(event: Event, approval: Approval | None) -> list[Word]:
    """What the event says to whom; the first that reaches a channel counts for it."""
    words: list[Word] = []
    match event.name:
        case "approval.requested":
            words.append(Word(_asked(approval)))
        case "approval.escalated":
            words.append(Word(Topic.ESCALATED))
        case "approval.expired":
            words.append(Word(Topic.EXPIRED))
        case "care.escalated":
            words.append(Word(Topic.ESCALATED, frozenset(event.data.get("users", ()))))
        case "care.expiring":
            words.append(Word(Topic.EXPIRING))
        case "care.assigned":
            words.append(Word(Topic.ASSIGNED, frozenset(event.data.get("users", ()))))
        case "comment.added":
            words.append(Word(Topic.MENTIONED, frozenset(event.data.get("users", ()))))
        case "halt.pressed" | "halt.lifted":
            words.append(Word(Topic.HALTED))
        case "callback.dead" | "notification.failed":
            words.append(Word(Topic.DELIVERY_FAILED))
    if event.name in ("comment.added", "approval.edited", *RESOLVED) and (who := _watchers(event)):
        words.append(Word(Topic.WATCHED, who))
    return words


def _asked(approval: Approval | None) -> Topic:
    if approval is not None and approval.kind == Kind.RECONCILE:
        return Topic.RECONCILE
    return Topic.ASKED_HIGH if approval is None or approval.risk not in ("low", "medium") else Topic.ASKED


def _concerns(user: User, approval: Approval | None) -> bool:
    if approval is None:
        return bool(roles_of(user) & {OPERATOR, ADMIN})
    return may_decide(Actor(user), approval)


def _watchers(event: Event) -> frozenset[int]:
    """Who watches the request, without whoever just did it."""
    doer = event.actor.partition(":")[2]
    rows = Watch.objects.filter(approval=UUID(event.object_id)).exclude(user__username=doer)
    return frozenset(rows.values_list("user_id", flat=True))
