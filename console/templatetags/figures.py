"""How the console writes figures: each with its unit, none with more digits than mean something."""

from datetime import datetime, timedelta
from decimal import Decimal

from django import template
from django.utils import timezone

register = template.Library()


@register.filter
def usd(amount: Decimal | float | None) -> str:
    """An amount in US dollars; below a cent with two significant digits."""
    if amount is None:
        return "unknown"
    value = Decimal(amount)
    if value == 0:
        return "$0.00"
    if abs(value) >= Decimal("0.01"):
        return f"${value:,.2f}"
    places = 1 - value.adjusted()
    return f"${value:.{places}f}"


@register.filter
def duration(milliseconds: float | None) -> str:
    """How long something took: "850 ms", "3.2 s", "4 min 10 s", "2 h 5 min"."""
    if milliseconds is None:
        return ""
    if milliseconds < 1:
        return "< 1 ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


@register.simple_tag
def lasted(start: datetime | None, end: datetime | None) -> str:
    """From `start` to `end`, or until now where it has not ended."""
    if start is None:
        return ""
    return duration(max((end or timezone.now()) - start, timedelta()).total_seconds() * 1000)


@register.filter
def percent(share: float | None) -> str:
    """A share of one as percent."""
    return "" if share is None else f"{share * 100:.0f} %"


@register.filter
def count(number: int | None) -> str:
    """A number of things, with separators: "12,345"."""
    return "" if number is None else f"{number:,}"


@register.filter
def excerpt_line(text: str, length: int) -> str:
    """The beginning of `text` as one line."""
    line = " ".join(text[: length * 4].split())
    return line if len(line) <= length else f"{line[:length].rstrip()}…"


@register.filter
def exact_ms(moment: datetime) -> str:
    """A moment to the millisecond, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"
