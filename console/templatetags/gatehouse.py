"""How the console writes things: text that can't hide anything, times, JSON, and what the frame of a page needs."""

import json
from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from approvals.access import ADMIN, OPERATOR, PEOPLE, Actor, roles_of
from approvals.attention.models import DutyHours
from approvals.halts import may_lift as halts_may_lift
from approvals.models import Halt
from approvals.queries import COUNTED, count_waiting, standing_halts
from console.cards import NEVER
from console.characters import reveal, reveal_text
from console.models import Notice, Profile
from console.notifications.models import Topic
from console.people.forms import WEEKDAYS
from console.people.profile import profile_of
from traces.alerts.breakers import standing
from traces.models import Breaker
from traces.redaction import redact_text

register = template.Library()

LINE = 60  # characters of JSON that are easily read on one line
READ = 8000  # characters that are shown of a value; the raw request has all


@register.filter
def visible(value: Any) -> SafeString:
    """`value` escaped, with what can't be seen made visible: control and bidirectional characters, walls of blanks."""
    return reveal(str(value))


@register.filter
def visible_text(value: Any) -> str:
    """The same as `visible`, where only text can stand."""
    return reveal_text(str(value))


@register.filter
def redacted(text: str) -> str:
    """A text without secrets."""
    return redact_text(text)


@register.filter
def written(value: Any) -> SafeString:
    """A JSON value as a person reads it; anything made of parts as indented JSON."""
    if value is None:
        return mark_safe('<span class="text-secondary">none</span>')
    if isinstance(value, bool):
        return mark_safe("yes" if value else "no")  # noqa: S308 (two constants)
    if value == "":
        return mark_safe('<span class="text-secondary">empty</span>')
    if isinstance(value, dict | list):
        return format_html('<code class="json">{}</code>', visible(excerpt(as_json(value), READ)))
    return visible(excerpt(value, READ))


@register.filter
def split_words(text: str) -> list[str]:
    """A constant of a template as a list."""
    return text.split()


@register.filter
def as_line(value: Any) -> str:
    """`value` as JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


@register.filter
def as_words(value: Any) -> str:
    """A text as it is, and any other value as JSON on one line."""
    return value if isinstance(value, str) else as_line(value)


@register.filter
def as_json(value: Any) -> str:
    """`value` as JSON, indented where it is long."""
    line = as_line(value)
    return line if len(line) <= LINE else json.dumps(value, indent=2, ensure_ascii=False)


@register.filter
def excerpt(value: Any, length: int) -> str:
    """At most `length` characters of `value`; says how many there were."""
    text = str(value)
    return text if len(text) <= length else f"{text[:length]} … ({length:,} of {len(text):,} characters)"


@register.filter
def excerpt_written(value: Any, length: int) -> SafeString:
    """A JSON value as `written` has it, at most `length` characters of it."""
    parts = isinstance(value, dict | list)
    text = excerpt(as_json(value) if parts else value, length)
    return (
        format_html('<code class="json">{}</code>', visible(text))
        if parts
        else written(text if value else value)
    )


@register.filter
def words(name: Any) -> str:
    """An identifier as words: `waiting_approval` is "waiting approval"."""
    return str(name).replace("_", " ")


def _span(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


@register.filter
def duration(seconds: float | None) -> str:
    """A length of time in words; a dash where there is none."""
    return "\u2013" if seconds is None else _span(seconds)


@register.filter
def share(part: float | None) -> str:
    """A share from 0 to 1 in per cent; a dash where there is none."""
    return "\u2013" if part is None else f"{part:.0%}"


@register.filter
def ago(moment: datetime | None) -> SafeString:
    """A past moment in relation to now, exact on hover, kept true by static/time.js."""
    if moment is None:
        return SafeString("")
    past = (timezone.now() - moment).total_seconds()
    text = "just now" if past < 5 else f"{_span(past)} ago"
    return _time(moment, "data-relative", text)


@register.filter
def countdown(moment: datetime, length: str = "") -> SafeString:
    """How long until a moment, exact on hover, kept true by static/time.js; "short" leaves the minutes of hours out."""
    left = (moment - timezone.now()).total_seconds()
    if left > NEVER.total_seconds():
        return SafeString("no time limit")
    if left <= 0:
        text = "time is up"
    elif left < 3600:
        text = f"{int(left) // 60}:{int(left) % 60:02d} left"
    elif length == "short":
        text = " ".join(_span(left).split()[:2]) + " left"
    else:
        text = f"{_span(left)} left"
    urgent = ' class="is-urgent"' if left < 300 else ""
    return _time(moment, f'data-countdown="{length}"{urgent}', text)


def _time(moment: datetime, attributes: str, text: str) -> SafeString:
    # A queue has a hundred of these, and nothing in them needs to be escaped.
    return mark_safe(  # noqa: S308
        f'<time datetime="{moment.isoformat()}" title="{exact(moment)}" {attributes}>{text}</time>'
    )


@register.filter
def exact(moment: datetime) -> str:
    """A moment to the second, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


@register.filter
def duty_words(row: DutyHours) -> str:
    """Hours of duty as a person says them."""
    days = ", ".join(name for day, name in WEEKDAYS if day in row.weekdays)
    return f"{days} {row}"


@register.filter
def topic_words(notice: Notice) -> str:
    """What a notice was about."""
    return str(Topic(notice.topic).label) if notice.topic else "a test"


@register.simple_tag
def wishes(user: User | AnonymousUser) -> Profile:
    """How this person wants the console to behave."""
    return profile_of(user)


@register.simple_tag
def may_lift(halt: Halt, user: User) -> bool:
    """Whether this person may lift that emergency stop."""
    return halts_may_lift(halt, Actor(user))


@register.simple_tag
def icon(name: str) -> SafeString:
    """An icon of static/vendor/tabler-icons; it says nothing to a screen reader, so put words beside it."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>',
        static("vendor/tabler-icons/icons.svg"),
        name,
    )


@register.simple_tag
def server_now() -> str:
    """The server's time, for the browser's countdowns."""
    return timezone.now().isoformat()


@register.simple_tag
def role_words(user: User | AnonymousUser) -> str:
    """The roles of a person, as in "operator, admin"."""
    return ", ".join(sorted(roles_of(user))) or "no role"


@register.simple_tag
def is_person(user: User | AnonymousUser) -> bool:
    """Whether the console has pages for this user."""
    return bool(roles_of(user) & PEOPLE)


@register.simple_tag
def is_admin(user: User | AnonymousUser) -> bool:
    """Whether this user may administer."""
    return ADMIN in roles_of(user)


@register.simple_tag
def may_halt(user: User | AnonymousUser) -> bool:
    """Whether this user may press and lift the emergency stop."""
    return bool(roles_of(user) & {OPERATOR, ADMIN})


@register.simple_tag
def single_operator() -> bool:
    """Whether this installation says that one person runs it."""
    return bool(settings.SINGLE_OPERATOR)


@register.simple_tag
def waiting_count(user: User) -> int:
    """How many requests wait for a person, as far as they are counted."""
    return count_waiting(Actor(user))


@register.filter
def counted(number: int) -> str:
    """A number of requests as far as they are counted: "1,000+" beyond."""
    return f"{COUNTED:,}+" if number > COUNTED else f"{number:,}"


@register.simple_tag
def standing_breakers() -> QuerySet[Breaker]:
    """The breakers of the whole system that hold now."""
    return standing()


@register.simple_tag
def reduced_runs() -> int:
    """How many runs work at a time while too many are escalated."""
    return settings.REDUCED_RUNS


@register.simple_tag
def halts() -> QuerySet[Halt]:
    """The emergency stops that hold now."""
    return standing_halts()
