"""The names of tools that mean something now."""

from contextlib import suppress

from agents.exceptions import BadConfig
from agents.models import Agent, AgentVersion
from agents.tools.registry import tools_of
from approvals.models import Approval
from approvals.states import ApprovalStatus


def known_tools() -> list[str]:
    """The tools of the agents that are live, and those that people were asked about, by name."""
    names = set(Approval.objects.filter(status=ApprovalStatus.PENDING).values_list("tool", flat=True))
    for version in AgentVersion.objects.filter(pk__in=Agent.objects.values("live_version")):
        with suppress(BadConfig):  # its runs can't go on anyway
            names |= tools_of(version.parsed).keys()
    return sorted(filter(None, names))
