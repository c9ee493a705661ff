"""The states of a request to a person, and the moves between them."""

from django.db import models


class ApprovalStatus(models.TextChoices):
    """Where a request stands. Five words for five ways in which an action does not happen."""

    PENDING = "pending"  # someone must decide
    APPROVED = "approved"  # what was shown may run
    DENIED = "denied"  # a person, or a rule, said no
    EXPIRED = "expired"  # nobody decided in time
    WITHDRAWN = "withdrawn"  # who asked took it back
    CANCELLED = "cancelled"  # the run it belonged to ended
    ANSWERED = "answered"  # a question has its answer


TRANSITIONS: dict[ApprovalStatus, frozenset[ApprovalStatus]] = {
    ApprovalStatus.PENDING: frozenset(
        {
            ApprovalStatus.APPROVED,
            ApprovalStatus.DENIED,
            ApprovalStatus.EXPIRED,
            ApprovalStatus.WITHDRAWN,
            ApprovalStatus.CANCELLED,
            ApprovalStatus.ANSWERED,
        }
    ),
    ApprovalStatus.APPROVED: frozenset(),
    ApprovalStatus.DENIED: frozenset(),
    ApprovalStatus.EXPIRED: frozenset(),
    ApprovalStatus.WITHDRAWN: frozenset(),
    ApprovalStatus.CANCELLED: frozenset(),
    ApprovalStatus.ANSWERED: frozenset(),
}
