"""Who said yes to a request, and who is still missing."""

from collections.abc import Sequence
from dataclasses import replace

from django.conf import settings
from django.contrib.auth.models import User

from approvals.access import Actor
from approvals.eyes import Needs, Voice, electorate, eligible, lacking, needs_of, shortfall, terms_of
from approvals.models import Approval, Kind, Vote


def voices_with(votes: Sequence[Vote], actor: Actor) -> list[Voice]:
    """Who says yes: those who did, and `actor` now."""
    return [*said_yes(votes), Voice(actor.user.pk, actor.user.get_username(), actor.speaks_as)]


def said_yes(votes: Sequence[Vote]) -> list[Voice]:
    """Who cast these votes, and as what."""
    users = User.objects.in_bulk([vote.user_id for vote in votes])
    return [
        Voice(
            vote.user_id,
            users[vote.user_id].get_username(),
            vote.role or Actor(users[vote.user_id]).speaks_as,
        )
        for vote in votes
    ]


def why_alone(approval: Approval, voices: Sequence[Voice], needs: Needs, actor: Actor) -> str:
    """Why this needed the setting for a single operator; empty where it did not."""
    if approval.requested_by_id == actor.user.pk:
        return f"{actor.user.get_username()} asked for it"
    return lacking(voices, needs).partition("since ")[2]


def still_missing(approval: Approval) -> str:
    """What is lacking before a pending action is approved, in words; empty where nothing is."""
    votes = [vote for vote in approval.votes.all() if vote.approve and vote.revision == approval.revision]
    needs = needs_of(approval, terms_of(approval))
    return lacking(
        said_yes(votes), replace(needs, four_eyes=needs.four_eyes and not settings.SINGLE_OPERATOR)
    )


def why_nobody(approval: Approval, people: Sequence[Voice] | None = None) -> str:
    """Why nobody is left who could approve this, as things are now; empty where somebody is.

    `people` is the electorate, where the caller knows it.
    """
    if approval.kind != Kind.ACTION:
        return ""
    voices = eligible(
        electorate() if people is None else people, approval.role, asker=approval.requested_by_id
    )
    return shortfall(voices, needs_of(approval, terms_of(approval)))
