"""Who calls through the gateway, by its token, and what it was granted."""

from dataclasses import dataclass, field

from django.utils import timezone

from agents.exceptions import BadConfig
from agents.models import Agent, AgentVersion, Run
from agents.runtime.versions import version_of
from agents.tools.registry import tools_of
from agents.tools.spec import Tool
from approvals.access import Actor
from console.people.tokens import actor_of_token, token_row

STATE = "gatehouse.caller"  # where a request's caller stands in its scope


@dataclass(slots=True)
class Caller:
    """A program with a good token, for one request."""

    actor: Actor
    agent: str = ""  # by whose grants and policy its calls are judged
    told: list[Run] = field(default_factory=list)  # whose results this request's answer holds

    @property
    def version(self) -> AgentVersion | None:
        """The live version of its agent; None where it has none."""
        live = Agent.objects.filter(name=self.agent).values_list("live_version", flat=True).first()
        return version_of(live) if live is not None else None

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


def caller_of(authorization: str) -> Caller | None:
    """Who sent this header; None without a token that is good."""
    scheme, _, token = authorization.partition(" ")
    row = token_row(token.strip(), now=timezone.now()) if scheme.lower() == "bearer" else None
    return Caller(actor_of_token(row), row.agent) if row is not None else None
