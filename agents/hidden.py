"""What rules keep from a person.

Which of them mask a call follows from the version of its run, which never changes, and from the agent's live one, where
that masks more.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any
from uuid import UUID

from agents.exceptions import BadConfig
from agents.models import Agent, AgentVersion, Rehearsal, Run, ToolCall
from agents.runtime.versions import version_of
from agents.tools.registry import tools_of
from agents.tools.spec import Effect, Tool
from approvals.access import ADMIN, SERVICE, Actor
from approvals.exceptions import NotAllowed
from approvals.masks import Masked, Scrubber, values_at, without
from approvals.models import Approval, Revision
from approvals.policy import Action, Outcome, Rule, masking_rules
from approvals.unmasking import masked_as


@dataclass(frozen=True, slots=True)
class Hidden:
    """What of one run is kept from one person."""

    rules: dict[str, tuple[Rule, ...]]  # by tool
    calls: dict[UUID, tuple[Rule, ...]]  # by call
    scrubber: Scrubber
    tools: dict[str, Tool]

    def of(self, tool: str, call_id: UUID | None) -> tuple[Rule, ...]:
        """The rules that mask this call; of one that isn't known here, all of its tool."""
        return self.calls.get(call_id, self.rules.get(tool, ())) if call_id else self.rules.get(tool, ())

    def arguments(self, arguments: Any, rules: Iterable[Rule]) -> Any:
        """As they may be seen."""
        for rule in rules:
            arguments = without(arguments, rule.mask, Masked(f"masked by the rule: {rule}"))
        return self.scrubber.value(arguments)

    def title(self, tool: str, arguments: Any, rules: tuple[Rule, ...]) -> str:
        """The action in words, made by the tool's code from what may be seen."""
        known = self.tools.get(tool)
        words = known.in_words(self.arguments(arguments, rules)) if known else f"Call {tool}"
        return self.scrubber.text(words)


def hidden_from(actor: Actor, run_ids: Collection[UUID]) -> dict[UUID, Hidden]:
    """By run: what is kept from this person. Runs of which they may see all are absent.

    A program sees no runs but its own, and works with what they come to: nothing is kept from it.
    """
    if not run_ids or actor.roles & {ADMIN, SERVICE}:
        return {}
    found = list(
        Run.objects.filter(pk__in=run_ids).values_list(
            "pk",
            "version_id",
            "version__agent__live_version_id",
            "version__agent__name",
            "subject",
            "rehearsal",
        )
    )
    about = {}
    for pk, version, live, agent, subject, rehearsal in found:
        rules = [rule for each in {version, live or version} for rule in _mask_rules(each)]
        if kept := tuple(dict.fromkeys(rule for rule in rules if rule.seen_by not in actor.roles)):
            about[pk] = (kept, version, agent, subject, rehearsal)
    if not about:
        return {}
    return _look(about, _origins([pk for pk, (*_, rehearsal) in about.items() if rehearsal], actor))


def masked_names(agent: str, tool: str, actor: Actor) -> frozenset[str]:
    """The arguments of which something is kept from this person, whatever else a rule asks, as the agent is now."""
    if actor.roles & {ADMIN, SERVICE}:
        return frozenset()
    version = Agent.objects.filter(name=agent).values_list("live_version_id", flat=True).first()
    rules = _mask_rules(version) if version else ()
    mine = [rule for rule in rules if rule.tool in ("", tool) and rule.seen_by not in actor.roles]
    return frozenset(path.partition(".")[0] for rule in mine for path in rule.mask)


def require_sees_all(approval: Approval, actor: Actor, *, to: str) -> None:
    """Raise NotAllowed where some of the request's arguments are kept from this person."""
    run_id = masked_as(approval).run_id
    if run_id is None or approval.requested_by_id == actor.user.pk:
        return
    hidden = hidden_from(actor, [run_id]).get(run_id)
    if hidden and (rules := hidden.of(approval.tool, approval.call_id)):
        raise NotAllowed(
            f"Some of its arguments are masked for you, by the rule: {rules[0]}. To {to}, the role {rules[0].seen_by} is needed."
        )


def may_mask(run_id: UUID) -> bool:
    """Whether the run's agent has rules that mask anything from anybody."""
    versions = Run.objects.filter(pk=run_id).values_list("version_id", "version__agent__live_version_id")
    return any(_mask_rules(pk) for found in versions for pk in found if pk is not None)


def _origins(rehearsals: list[UUID], actor: Actor) -> dict[UUID, Hidden]:
    """By rehearsal: what is kept from this person of the run that it is of, and that it may repeat."""
    if not rehearsals:
        return {}
    found = Rehearsal.objects.filter(pk__in=rehearsals, of__isnull=False).values_list("pk", "of_id")
    of = {pk: origin for pk, origin in found if origin}
    hidden = hidden_from(actor, set(of.values()))
    return {pk: hidden[origin] for pk, origin in of.items() if origin in hidden}


def _look(
    about: dict[UUID, tuple[tuple[Rule, ...], int, str, Any, bool]], origins: dict[UUID, Hidden]
) -> dict[UUID, Hidden]:
    """Which calls of these runs are masked, and by which values."""
    values: dict[UUID, list[Any]] = {
        pk: [*origins[pk].scrubber.values] if pk in origins else [] for pk in about
    }
    masked: dict[UUID, dict[UUID, tuple[Rule, ...]]] = {pk: {} for pk in about}
    tools = {version: _tools(version) for _, version, *_ in about.values()}
    wordings: dict[UUID, list[Any]] = {}
    for call_id, arguments in Revision.objects.filter(
        approval__run_id__in=about, approval__call_id__isnull=False
    ).values_list("approval__call_id", "arguments"):
        assert call_id is not None
        wordings.setdefault(call_id, []).append(arguments)
    calls = ToolCall.objects.filter(run_id__in=about).only(
        "run_id", "tool", "effect", "tainted", "created_at", "arguments", "proposed_arguments"
    )
    for call in calls:
        rules, version, agent, subject, rehearsal = about[call.run_id]
        tool = tools[version].get(call.tool)
        # A rehearsed call is a read, whatever it stands for; of a tool that is gone since, it may have been anything.
        effects = [call.effect or (str(tool.effect) if tool else "")]
        if rehearsal:
            effects = [str(tool.effect)] if tool else [str(effect) for effect in Effect]
        told = [call.proposed_arguments, call.arguments, *wordings.get(call.pk, [])]
        told = [arguments for arguments in told if isinstance(arguments, dict)]
        mine: dict[Rule, None] = {}
        for arguments, effect in product(told, effects):
            action = Action(
                tool=call.tool,
                effect=effect,
                arguments=arguments,
                category=str(tool.category) if tool else "",
                egress=tool.egress if tool else False,
                agent=agent,
                subject=subject,
                tainted=call.tainted,
                now=call.created_at,
            )
            mine |= dict.fromkeys(masking_rules(action, rules))
        masked[call.run_id][call.pk] = tuple(mine)
        for rule in mine:
            values[call.run_id] += [
                each for said in told for path in rule.mask for each in values_at(said, path)
            ]
    return {
        pk: Hidden(
            rules={tool: tuple(r for r in rules if r.tool in ("", tool)) for tool in tools[version]},
            calls=masked[pk],
            scrubber=Scrubber(values[pk]),
            tools=tools[version],
        )
        for pk, (rules, version, *_) in about.items()
        if any(masked[pk].values()) or pk in origins
    }


def _tools(version: int) -> dict[str, Tool]:
    try:
        return tools_of(version_of(version).parsed)
    except BadConfig:  # a tool of it is gone
        return {}


@lru_cache(maxsize=1024)
def _mask_rules(version_id: int) -> tuple[Rule, ...]:
    """Those of a version, which never changes."""
    version = AgentVersion.objects.get(pk=version_id)
    if not any(rule.get("then") == Outcome.MASK for rule in version.config.get("policy", ())):
        return ()
    return tuple(rule for rule in version.parsed.rules() if rule.then is Outcome.MASK)
