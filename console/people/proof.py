"""What a browser has proven beside its sign-in: the second factor, for a short while."""

from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone

from approvals.access import Actor
from approvals.stepup import factors
from console.people.entry import actor_of, remember_proof


def prove(request: HttpRequest, code: str) -> Actor:
    """Take a code of whoever sits here; this browser has proven itself then. Raises Invalid, NotAllowed."""
    now = timezone.now()
    factors.verify(actor_of(request).user, code, now=now)
    return proven(request, now)


def proven(request: HttpRequest, now: datetime) -> Actor:
    """Whoever sits here, who has just given a code."""
    remember_proof(request, now)
    return actor_of(request)
