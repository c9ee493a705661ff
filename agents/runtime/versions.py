"""Published versions, which never change: each is read once by a process."""

from functools import lru_cache

from agents.exceptions import BadInput, UnknownAgent
from agents.models import Agent, AgentVersion


@lru_cache(maxsize=500)
def version_of(version_id: int) -> AgentVersion:
    """The version with its agent; shared by all threads, so nobody changes it."""
    return AgentVersion.objects.select_related("agent", "published_by").get(pk=version_id)


def runnable_version(agent: str) -> AgentVersion:
    """The version that new runs of the agent have. Raises UnknownAgent, and BadInput for a gateway."""
    live = Agent.objects.filter(name=agent).values_list("live_version", flat=True).first()
    if live is None:
        known = ", ".join(Agent.objects.exclude(live_version=None).values_list("name", flat=True)) or "none"
        raise UnknownAgent(f"There is no agent {agent!r}. Agents: {known}.")
    version = version_of(live)
    if version.parsed.pattern == "gateway":
        message = f"{agent} is a gateway, which asks no model: other programs call its tools through /mcp."
        raise BadInput(message, errors=[{"path": ["agent"], "message": message}])
    return version
