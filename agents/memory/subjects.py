"""On whose behalf a run works, as one value to filter by."""

from typing import Any

from approvals.digest import digest_of


def subject_digest(subject: dict[str, Any]) -> str:
    """SHA-256, in hex, of the subject as canonical JSON: two subjects share nothing unless they are equal in all.

    A run that names no subject works for nobody in particular, and shares with others that name none.
    Raises approvals' Invalid where the subject has no canonical form.
    """
    return digest_of(subject)
