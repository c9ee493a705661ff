"""The sealed secrets beside credentials and signing keys: addresses of channels, the push key, second factors."""

from typing import Any

from approvals.models import SecondFactor
from console.notifications.models import Channel, PushKey
from traces import sealing


def rows() -> list[tuple[str, Any]]:
    """Each that holds something, and how people call it."""
    channels = [(f"the channel {row.name}", row) for row in Channel.objects.all() if row.sealed]
    factors = [
        (f"the second factor of {row.user.get_username()}", row)
        for row in SecondFactor.objects.select_related("user")
    ]
    return [*channels, *factors, *(("the push key", row) for row in PushKey.objects.all())]


def reseal() -> tuple[int, list[str]]:
    """Seal all with the newest key: how many were, and which nobody can read."""
    count, unreadable = 0, []
    for name, row in rows():
        try:
            type(row).objects.filter(pk=row.pk).update(sealed=sealing.reseal(bytes(row.sealed)))
        except sealing.Unreadable:
            unreadable.append(name)
        else:
            count += 1
    return count, unreadable
