"""Quiet hours of a channel: what comes in them waits for their end."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from console.notifications.models import Channel


def quiet_until(channel: Channel, *, now: datetime) -> datetime | None:
    """When the quiet hours that hold now end; None where none hold. `quiet_from` after `quiet_until`: over midnight."""
    begins, ends = channel.quiet_from, channel.quiet_until
    if begins is None or ends is None or begins == ends:
        return None
    zone = ZoneInfo(channel.time_zone)
    local = now.astimezone(zone)
    time = local.time()
    is_quiet = begins <= time < ends if begins < ends else time >= begins or time < ends
    if not is_quiet:
        return None
    day = local.date() if time < ends else local.date() + timedelta(days=1)
    return datetime.combine(day, ends, tzinfo=zone)
