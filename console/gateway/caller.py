"""Who calls through the gateway, by its token, and what it was granted."""

from dataclasses import dataclass, field

from django.utils import timezone

from agents.exceptions import BadConfig
from agents.models import AgentVersion, Run
from agents.runtime.versions import version_of
from agents.tools.registry import tools_of
from agents.tools.spec import Tool
from approvals.access import Actor
from console.api import rates
from console.people.tokens import actor_of_token, agent_of, bearer_row, scopes_of
from traces.statement import ask

STATE = "gatehouse.caller"  # where a request's caller stands in its scope


@dataclass(slots=True)
class Caller:
    """A program with a good token, for one request."""

    actor: Actor
    agent: str = ""  # by whose grants and policy its calls are judged
    scopes: frozenset[str] = frozenset()
    key: str = ""  # that it chose for this request
    told: list[Run] = field(default_factory=list)  # whose results this request's answer holds

    @property
    def version(self) -> AgentVersion | None:
        """The live version of its agent; None where it has none."""
        found = ask("SELECT live_version_id FROM agents_agent WHERE name = $1", self.agent)
        return version_of(found[0][0]) if found and found[0][0] is not None else None

    def may_look_at(self, owner_id: int | None) -> bool:
        """Whether it may see what this user began: its own, and what others did by the scope for looking."""
        return "read" in self.scopes or owner_id == self.actor.user.pk

    def tools(self) -> dict[str, Tool]:
        """The tools that it may call, by name. One that its server changed is not among them."""
        version = self.version
        if version is None:
            return {}
        try:
            granted = tools_of(version.parsed)
        except BadConfig:
            return {}
        return {name: tool for name, tool in granted.items() if not tool.suspended and not tool.built_in}


class Refused(Exception):
    """A token that is good, and not for this, or not now."""

    def __init__(self, status: int, message: str, *, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def caller_of(authorization: str) -> Caller | None:
    """Who sent this header; None without a token that is good. Raises Refused."""
    row = bearer_row(authorization, now=timezone.now())
    if row is None:
        return None
    rate, scopes = rates.count(row), frozenset(scopes_of(row))
    if rate is not None and rate.is_over:
        raise Refused(429, rate.words, retry_after=rate.reset)
    if "mcp" not in scopes:
        raise Refused(403, "This token lacks the scope 'mcp' (use the MCP gateway): make one that has it.")
    return Caller(actor_of_token(row), agent_of(row), scopes)
