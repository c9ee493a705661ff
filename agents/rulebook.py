"""The rules of agents as a whole: which decides about which tool, and what a draft would have done to past calls."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.config import AgentConfig
from agents.exceptions import BadConfig, UnknownAgent
from agents.models import Agent, AgentVersion, ToolCall
from agents.tools.registry import tools_of
from agents.tools.spec import Tool
from approvals.models import Approval
from approvals.policy import Action, Outcome, Rule, Verdict, evaluate
from approvals.states import ApprovalStatus

CALLS = 1000  # that a draft is tried on
WORDS = {Outcome.ALLOW: "allowed", Outcome.REQUIRE: "asked", Outcome.DENY: "denied"}
SAID = {
    ApprovalStatus.APPROVED: "people approved it",
    ApprovalStatus.DENIED: "people rejected it",
    ApprovalStatus.EXPIRED: "nobody decided",
}


@dataclass(frozen=True, slots=True)
class Cover:
    """What is said of one tool of one agent."""

    agent: str
    tool: str
    effect: str
    rules: list[str]  # those that may decide, in order
    default: str  # what holds where none of them matches; empty where one always does


@dataclass(frozen=True, slots=True)
class Changed:
    """A past call that the draft would have treated otherwise."""

    call: ToolCall
    now: Verdict
    draft: Verdict
    people: str

    @property
    def words(self) -> tuple[str, str]:
        return WORDS[self.now.outcome], WORDS[self.draft.outcome]


@dataclass(slots=True)
class Trial:
    """What a draft would have done to the calls of an agent."""

    calls: int = 0
    unjudged: int = 0  # refused before a rule was asked, or without arguments that are an object
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # of what happens now, and what would
    people: Counter[tuple[str, str]] = field(default_factory=Counter)  # of what would, and what people said
    changed: list[Changed] = field(default_factory=list)

    @property
    def table(self) -> list[tuple[str, list[int]]]:
        """Rows of what happens now, by what would happen."""
        order = list(WORDS.values())
        return [(now, [self.counts[now, then] for then in order]) for now in order]

    @property
    def against_people(self) -> list[tuple[str, list[int]]]:
        """Rows of what would happen, by what people said."""
        return [(then, [self.people[then, said] for said in SAID.values()]) for then in WORDS.values()]


def live_version(name: str) -> AgentVersion:
    """What the agent is now. Raises UnknownAgent."""
    agent = Agent.objects.select_related("live_version__published_by").filter(name=name).first()
    if agent is None or agent.live_version is None:
        raise UnknownAgent(f"There is no agent {name!r}.")
    return agent.live_version


def coverage() -> list[Cover]:
    """For each tool of each agent, which rules may decide."""
    found = []
    for agent in Agent.objects.exclude(live_version=None).select_related("live_version"):
        assert agent.live_version is not None
        config = agent.live_version.parsed
        rules = config.rules()
        found += [_cover(agent.name, tool, rules) for tool in granted(config).values() if not tool.built_in]
    return found


def granted(config: AgentConfig) -> dict[str, Tool]:
    """The tools of the agent, as far as they can be had."""
    try:
        return tools_of(config)
    except BadConfig:  # a tool of it is gone
        return {}


def try_out(name: str, now: Sequence[Rule], draft: Sequence[Rule]) -> Trial:
    """Judge the agent's last calls by the rules as they are and by the draft, each at its own time and taint."""
    trial = Trial()
    rows = ToolCall.objects.filter(run__version__agent__name=name, run__rehearsal=False).select_related(
        "run", "approval"
    )
    tools = granted(live_version(name).parsed)
    for call in rows.order_by("-created_at")[:CALLS]:
        trial.calls += 1
        action = _action(name, call, tools.get(call.tool))
        if action is None:
            trial.unjudged += 1
            continue
        before, after = evaluate(action, now), evaluate(action, draft)
        said = people_said(call.approval)
        trial.counts[WORDS[before.outcome], WORDS[after.outcome]] += 1
        if said:
            trial.people[WORDS[after.outcome], said] += 1
        if _asks(before) != _asks(after):
            trial.changed.append(Changed(call, before, after, said))
    return trial


def people_said(approval: Approval | None) -> str:
    """How people decided about a call, in words; empty where they did not."""
    return SAID.get(ApprovalStatus(approval.status), "") if approval else ""


def _asks(verdict: Verdict) -> tuple[Any, ...]:
    if verdict.outcome is not Outcome.REQUIRE:
        return (verdict.outcome,)
    return verdict.outcome, verdict.approvers, verdict.role, verdict.roles, verdict.step_up


def _action(agent: str, call: ToolCall, tool: Tool | None) -> Action | None:
    """The call as the policy saw it when it was proposed."""
    effect = call.effect or (str(tool.effect) if tool else "")
    if not effect or not isinstance(call.proposed_arguments, dict):
        return None
    return Action(
        tool=call.tool,
        effect=effect,
        arguments=call.proposed_arguments,
        category=str(tool.category) if tool else "",
        egress=tool.egress if tool else False,
        agent=agent,
        subject=call.run.subject,
        tainted=call.tainted,
        now=call.created_at,
    )


def _cover(agent: str, tool: Tool, rules: Sequence[Rule]) -> Cover:
    told: list[str] = []
    for rule in rules:
        if (
            rule.then is Outcome.MASK
            or rule.tool not in ("", tool.name)
            or rule.effect not in ("", tool.effect)
        ):
            continue
        told.append(str(rule))
        if not rule.when:
            return Cover(agent, tool.name, tool.effect, told, "")
    default = "reads are allowed" if tool.effect == "read" else "one operator is asked"
    return Cover(agent, tool.name, tool.effect, told, default)
