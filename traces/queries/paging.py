"""Lists, newest first, a page at a time: by where the last page ended, never by counting rows."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

Row = TypeVar("Row", bound=Model)


class BadCursor(ValueError):
    """This cursor is not one that a list gave out: leave it away to begin with the newest."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and the cursor with which the list goes on; None at its end."""

    items: Sequence[Row]
    next: str | None


def newest_first(rows: QuerySet[Row], *, by: str, cursor: str = "", size: int = 50) -> Page[Row]:
    """The page of `rows` that begins after `cursor`, ordered by the time in the column `by`, then by id.

    Rows that arrive meanwhile do not move what comes after a cursor. Raises BadCursor.
    """
    if cursor:
        at, pk = _read(cursor)
        try:
            rows = rows.filter(Q(**{f"{by}__lte": at}) & ~Q(**{by: at, "pk__gte": pk}))
        except (ValidationError, ValueError) as error:  # an id of another kind
            raise BadCursor(f"{cursor!r} is not a cursor of this list.") from error
    found = list(rows.order_by(f"-{by}", "-pk")[: size + 1])
    items = found[:size]
    return Page(items=items, next=_write(items[-1], by) if len(found) > size else None)


def _write(row: Model, by: str) -> str:
    place = json.dumps([getattr(row, by).isoformat(), str(row.pk)])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[datetime, Any]:
    try:
        at, pk = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None or "\x00" in pk:
            raise ValueError(at)
    except (binascii.Error, ValueError, TypeError, UnicodeError) as error:
        raise BadCursor(f"{cursor!r} is not a cursor of this list.") from error
    return moment, pk
