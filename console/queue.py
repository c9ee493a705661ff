"""Where a person is in the queue: which filters, which page. It travels in the address, so that it is kept by what follows."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.db.models import BooleanField, F, Func, JSONField, Q, QuerySet, Value
from django.http import HttpRequest, QueryDict
from django.utils import timezone

from approvals.access import Actor
from approvals.exceptions import Invalid
from console.models import SavedView
from console.people.entry import actor_of
from traces.recorder import record

Rows = TypeVar("Rows", bound=QuerySet[Any, Any])

SOON = timedelta(hours=1)  # in which what expires counts as expiring
ALL = "all"  # the view without filters, where another is somebody's default
MOST = 30  # views of one person
RISKS = ("high", "medium", "low")


class _HasValue(Func):
    """Whether a document has this value under any of its names."""

    function = "jsonb_path_exists"
    arg_joiner = ", '$.* ? (@ == $v)', "
    output_field = BooleanField()


@dataclass(frozen=True, slots=True)
class Filters:
    """What is shown; empty: everything."""

    agent: str = ""
    tool: str = ""
    risk: str = ""
    subject: str = ""  # a value of the subject, such as C-1042
    mine: str = ""  # on: given to me, or taken by me
    expiring: str = ""  # on: within the hour

    @classmethod
    def of(cls, values: QueryDict | dict[str, Any]) -> "Filters":
        """As the address, a form or a saved view says."""
        texts = {name: str(values.get(name, "")).replace("\x00", "").strip()[:128] for name in cls.__slots__}
        if texts["risk"] not in RISKS:
            texts["risk"] = ""
        return cls(**texts)

    @property
    def chosen(self) -> dict[str, str]:
        """Those that are set."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def in_words(self) -> str:
        """Such as "risk high, mine"."""
        return ", ".join(name if value == "on" else f"{name} {value}" for name, value in self.chosen.items())

    def apply(self, rows: Rows, actor: Actor, now: datetime) -> Rows:
        """The requests that match."""
        if self.agent:
            rows = rows.filter(agent=self.agent)
        if self.tool:
            rows = rows.filter(tool=self.tool)
        if self.risk == "high":  # what isn't known to be less counts as high
            rows = rows.exclude(risk__in=("low", "medium"))
        elif self.risk:
            rows = rows.filter(risk=self.risk)
        if self.subject:
            rows = rows.filter(_HasValue(F("subject"), Value({"v": self.subject}, JSONField())))
        if self.mine:
            rows = rows.filter(care__holder=actor.user)
        if self.expiring:
            rows = rows.filter(Q(expires_at__lt=now + SOON))
        return rows


@dataclass(frozen=True)
class Place:
    """A page of the queue under filters; `view` is the saved view that they come from, if any."""

    actor: Actor
    page: int = 1
    filters: Filters = Filters()
    view: SavedView | None = None
    asked: str = ""  # for which view; `all` where the default was put aside

    @classmethod
    def of(cls, request: HttpRequest) -> "Place":
        """As the address says; where it says nothing, the person's default view."""
        actor, query = actor_of(request), request.GET
        number, asked = query.get("page", ""), query.get("view", "")
        page = int(number) if number.isdecimal() and len(number) < 6 else 1
        filters = Filters.of(query)
        view = None
        if not filters.chosen and asked != ALL:
            seen = visible_views(actor)
            known = asked.isdecimal() and len(asked) < 10
            view = (
                seen.filter(pk=asked).first()
                if known
                else seen.filter(user=actor.user, is_default=True).first()
            )
            filters = Filters.of(view.filters) if view else filters
        return cls(actor, max(page, 1), filters, view, asked)

    def rows(self, rows: Rows) -> Rows:
        """Those of `rows` that it shows."""
        return self.filters.apply(rows, self.actor, timezone.now()) if self.filters.chosen else rows

    @property
    def is_filtered(self) -> bool:
        return bool(self.filters.chosen)

    @cached_property
    def views(self) -> list[SavedView]:
        """What the person can choose from: their own, then what others share."""
        rows = visible_views(self.actor).select_related("user")
        return sorted(rows, key=lambda row: (row.user_id != self.actor.user.pk, row.name.lower()))

    def query(self, page: int | None = None) -> str:
        """The place as the end of an address; empty on the first page of everything."""
        values: dict[str, Any] = {}
        if self.view is not None:
            values["view"] = self.view.pk
        elif self.filters.chosen:
            values = dict(self.filters.chosen)
        elif self.asked == ALL:
            values["view"] = ALL
        number = self.page if page is None else page
        if number > 1:
            values["page"] = number
        return f"?{urlencode(values)}" if values else ""


def visible_views(actor: Actor) -> QuerySet[SavedView]:
    """A person's own views, and those that others share."""
    return SavedView.objects.filter(Q(user=actor.user) | Q(shared=True))


def save_view(actor: Actor, name: str, filters: Filters, *, shared: bool, default: bool) -> SavedView:
    """Keep filters under a name; the same name again replaces them. Raises Invalid."""
    name = " ".join(name.replace("\x00", "").split())
    if not name or len(name) > 60:
        raise Invalid("Give the view a name of at most 60 characters.")
    if not filters.chosen:
        raise Invalid("Set a filter first: a view without one shows everything.")
    own = SavedView.objects.filter(user=actor.user)
    if own.exclude(name=name).count() >= MOST:
        raise Invalid(f"You have {MOST} views: delete one first.")
    if default:
        own.update(is_default=False)
    row, _ = SavedView.objects.update_or_create(
        user=actor.user,
        name=name,
        defaults={"filters": filters.chosen, "shared": shared, "is_default": default},
    )
    if shared:
        record("view.shared", actor=str(actor), object_id=str(row.pk), data={"name": name, **filters.chosen})
    return row


def delete_view(actor: Actor, pk: int) -> bool:
    """Delete an own view; whether there was one."""
    return bool(SavedView.objects.filter(pk=pk, user=actor.user).delete()[0])
