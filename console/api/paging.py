"""Lists by cursor: a page goes on exactly after the last item of the one before, whatever was added meanwhile."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from ninja import Schema
from pydantic import Field

from console.api.problems import Problem

Row = TypeVar("Row", bound=Model)

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


class PageQuery(Schema):
    """Which part of a list."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="At most so many items.")
    cursor: str = Field(default="", max_length=300, description="`next` of the page before.")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and the cursor of those after them."""

    rows: list[Row]
    next: str | None


def page(rows: QuerySet[Row], query: PageQuery, *, time: str, oldest_first: bool = False) -> Page[Row]:
    """The rows that `query` asks for, by the column `time` and then by id, newest first. Raises Problem."""
    if query.cursor:
        at, key = _read(query.cursor, rows.model)
        later = "gt" if oldest_first else "lt"
        # The first condition alone lets the index find the place; the second settles equal times.
        rows = rows.filter(**{f"{time}__{later}e": at}).filter(
            Q(**{f"{time}__{later}": at}) | Q(**{f"pk__{later}": key})
        )
    sign = "" if oldest_first else "-"
    found = list(rows.order_by(f"{sign}{time}", f"{sign}pk")[: query.limit + 1])
    if len(found) <= query.limit:
        return Page(found, None)
    last = found[query.limit - 1]
    return Page(found[: query.limit], _write(getattr(last, time), last.pk))


def _write(at: datetime, key: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), str(key)]).encode()).decode().rstrip("=")


def _read(cursor: str, model: type[Model]) -> tuple[datetime, Any]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        at, key = json.loads(text)
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None or "\x00" in key:
            raise ValueError("no time zone")
        return moment, model._meta.pk.to_python(key)
    except (binascii.Error, ValueError, TypeError, RecursionError, ValidationError) as error:
        message = "this is no cursor that a list has given out"
        errors = [{"path": ["cursor"], "message": message}]
        raise Problem(422, "invalid", f"cursor: {message}", errors=errors) from error
