"""What people said before about an action, at one glance: most were never denied, nor granted, and then no more is asked."""

from dataclasses import dataclass

from traces.statement import ask

EARLIER = """
SELECT
    EXISTS (SELECT 1 FROM approvals_approval WHERE status = 'denied' AND digest = $1 AND agent = $2),
    EXISTS (SELECT 1 FROM approvals_grant WHERE agent = $2 AND tool = $3 AND revoked_at IS NULL)
"""


@dataclass(frozen=True, slots=True)
class Word:
    """Whether it is worth to look for a denial, or for a grant; neither need stand any more."""

    denied: bool
    granted: bool


def word_on(*, agent: str, tool: str, digest: str) -> Word:
    """What may stand about exactly this action of the agent, and about its tool."""
    [(denied, granted)] = ask(EARLIER, digest, agent, tool)
    return Word(denied, granted)
