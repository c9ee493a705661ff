"""Who looked at a request: kept in the audit log, once per person and wording."""

from django.db import connection, transaction

from approvals.access import Actor
from approvals.models import Approval
from traces.models import Event
from traces.recorder import note


def note_view(approval: Approval, *, actor: Actor) -> None:
    """Record that this person was shown the request as it stands, with the digest of what was shown."""
    seen = Event.objects.filter(
        name="approval.viewed",
        actor=str(actor),
        object_id=str(approval.pk),
        run_id=approval.run_id,
        data__revision=approval.revision,
    )
    if seen.exists():
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # Two pages that are opened at once are one view.
        name = f"view {approval.pk} {actor}"
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        if seen.exists():
            return
        note(
            "approval.viewed",
            actor=str(actor),
            object_id=approval.pk,
            run_id=approval.run_id,
            data={"revision": approval.revision, "digest": approval.digest},
        )


def views_of(approval: Approval) -> list[Event]:
    """Who was shown the request, and when first; each person once."""
    views = Event.objects.filter(
        name="approval.viewed", object_id=str(approval.pk), run_id=approval.run_id
    ).order_by("pk")
    first: dict[str, Event] = {}
    for view in views:
        first.setdefault(view.actor, view)
    return list(first.values())
