"""Who sent the traces that other programs recorded."""

from collections.abc import Collection

from django.contrib.auth.models import User

from traces.models import ForeignTrace


def senders_of(trace_ids: Collection[str]) -> dict[str, str]:
    """By trace, the name of the user whose token sent it; Gatehouse's own are absent."""
    sent = dict(ForeignTrace.objects.filter(pk__in=trace_ids).values_list("pk", "sender_id"))
    names = dict(User.objects.filter(pk__in=set(sent.values())).values_list("pk", "username")) if sent else {}
    return {trace_id: names.get(user_id, "somebody who is gone") for trace_id, user_id in sent.items()}
