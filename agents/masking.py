"""What rules keep from a person: taken out of requests, runs and spans before any page or program sees them.

Nothing is stored masked: what is decided, and what runs, stays what its digest stands for. Which rules mask a call follows
from the version of its run, which never changes, and from the agent's live one, where that masks more.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import models

from agents.exceptions import BadConfig
from agents.models import Agent, AgentVersion, BatchRow, Run, Step, ToolCall
from agents.runtime.versions import version_of
from agents.tools.registry import tools_of
from agents.tools.spec import Tool
from approvals.access import ADMIN, SERVICE, Actor
from approvals.exceptions import NotAllowed
from approvals.masks import Masked, Scrubber, values_at, without
from approvals.models import Approval, Kind, Revision
from approvals.policy import Action, Outcome, Rule, masking_rules
from approvals.unmasking import dress_rows, masked_as
from traces.models import Span

WITHHELD = {"summary": "The preview is withheld from you: it may show what is masked."}
_KEPT = "_gatehouse_masks"  # on a request that was masked
_SCRUBBER = "_gatehouse_scrubber"  # likewise


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
    found = Run.objects.filter(pk__in=run_ids).values_list(
        "pk", "version_id", "version__agent__live_version_id", "version__agent__name", "subject"
    )
    about = {}
    for pk, version, live, agent, subject in found:
        rules = [rule for each in {version, live or version} for rule in _mask_rules(each)]
        if kept := tuple(dict.fromkeys(rule for rule in rules if rule.seen_by not in actor.roles)):
            about[pk] = (kept, version, agent, subject)
    return _look(about) if about else {}


def hide_in_requests(approvals: Sequence[Approval], actor: Actor) -> None:
    """Mask what this person may not see, on these objects, which are for showing alone."""
    others = [row for row in approvals if row.requested_by_id != actor.user.pk]
    runs = {row.pk: run for row in others if (run := masked_as(row).run_id)}
    hidden = hidden_from(actor, set(runs.values()))
    kept = [row for row in others if runs.get(row.pk) in hidden]
    in_part = [row.pk for row in kept if row.get_deferred_fields()]
    whole = Approval.objects.in_bulk(in_part) if in_part else {}
    for row in kept:
        _hide_request(row, whole.get(row.pk, row), hidden[runs[row.pk]])


def hide_in_rows(rows: Sequence[dict[str, Any]], actor: Actor) -> None:
    """Mask the titles of requests of which only plain values were read: pk, run_id, requested_by_id and title.

    Planted tests are dressed up first, as what they are like.
    """
    dress_rows(rows)
    others = [row for row in rows if row["run_id"] and row["requested_by_id"] != actor.user.pk]
    hidden = hidden_from(actor, {row["run_id"] for row in others})
    kept = [row for row in others if row["run_id"] in hidden]
    whole = Approval.objects.in_bulk([row["pk"] for row in kept]) if kept else {}
    for row in kept:
        request = whole[row["pk"]]
        _hide_request(request, request, hidden[row["run_id"]])
        row["title"] = request.title


def hide_in_steps(run: Run, steps: Sequence[Step], actor: Actor) -> Hidden | None:
    """Mask a run and its steps, as `run_steps` returns them; None where this person may see all of it."""
    hidden = hidden_from(actor, [run.pk]).get(run.pk)
    if hidden is None:
        return None
    _scrub(run, hidden.scrubber)
    for step in steps:
        _scrub(step, hidden.scrubber)
        for call in step.tool_calls.all():
            hide_in_call(call, hidden)
    return hidden


def hide_in_call(call: ToolCall, hidden: Hidden) -> None:
    """Mask one call."""
    rules = hidden.of(call.tool, call.pk)
    call.arguments = hidden.arguments(call.arguments, rules)
    call.proposed_arguments = hidden.arguments(call.proposed_arguments, rules)
    call.result, call.error = hidden.scrubber.value(call.result), hidden.scrubber.text(call.error)
    if call.approval_id and call.approval is not None:
        _hide_request(call.approval, call.approval, hidden)
        decision = getattr(call.approval, "decision", None)
        if decision is not None:
            _scrub(decision, hidden.scrubber)
        for revision in call.approval.revisions.all():
            revision.arguments = hidden.arguments(revision.arguments, rules)


def hide_in_runs(runs: Sequence[Run], actor: Actor) -> None:
    """Mask what a list tells of runs."""
    hidden = hidden_from(actor, [run.pk for run in runs])
    for run in runs:
        if run.pk in hidden:
            _scrub(run, hidden[run.pk].scrubber)


def hide_in_batch(rows: Sequence[BatchRow], actor: Actor) -> None:
    """Mask rows of a batch, with their runs."""
    hidden = hidden_from(actor, [row.run.pk for row in rows if row.run])
    for row in rows:
        if row.run and row.run.pk in hidden:
            _scrub(row, hidden[row.run.pk].scrubber)
            _scrub(row.run, hidden[row.run.pk].scrubber)


def hide_in_spans(spans: Sequence[Span], actor: Actor) -> dict[UUID, Hidden]:
    """Mask what spans tell; what went in and came out is masked by who reads it, with what this returns, by run."""
    hidden = hidden_from(actor, {span.run_id for span in spans if span.run_id})
    for span in spans:
        if span.run_id in hidden:
            scrubber = hidden[span.run_id].scrubber
            span.preview, span.attributes = scrubber.text(span.preview), scrubber.value(span.attributes)
    return hidden


def masks_of(approval: Approval) -> tuple[Rule, ...]:
    """The rules that masked this request for whom it was read; none where they see all of its arguments."""
    rules: tuple[Rule, ...] = getattr(approval, _KEPT, ())
    return rules


def shown_arguments(approval: Approval, arguments: Any) -> Any:
    """Another wording of the request, as masked as the request itself is."""
    for rule in masks_of(approval):
        arguments = without(arguments, rule.mask, f"masked by the rule: {rule}")
    return arguments


def shown_words(approval: Approval, said: Any) -> Any:
    """What people said about the request, or a system of it: as masked as the request itself is."""
    scrubber: Scrubber | None = getattr(approval, _SCRUBBER, None)
    return scrubber.value(said) if scrubber else said


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


def _hide_request(row: Approval, whole: Approval, hidden: Hidden) -> None:
    rules = hidden.of(whole.tool, whole.call_id)
    true, in_part = whole.arguments, bool(row.get_deferred_fields())
    if not in_part:
        _scrub(row, hidden.scrubber, but=("arguments", "parameters", "title", "preview"))
        row.arguments = hidden.arguments(true, rules)
        before = {str(pk): masking for pk, masking in hidden.calls.items()}
        for read in row.context.get("evidence", ()):
            read["arguments"] = hidden.arguments(
                read.get("arguments"), before.get(read.get("call_id", ""), ())
            )
        row.preview = WITHHELD if rules and row.preview else hidden.scrubber.value(row.preview)
    row.title = hidden.scrubber.text(whole.title)
    if rules:
        asks = "Find out whether this happened: " if whole.kind == Kind.RECONCILE else ""
        row.title = f"{asks}{hidden.title(whole.tool, true, rules)}"
    setattr(row, _KEPT, rules)
    setattr(row, _SCRUBBER, hidden.scrubber)


def _look(about: dict[UUID, tuple[tuple[Rule, ...], int, str, Any]]) -> dict[UUID, Hidden]:
    """Which calls of these runs are masked, and by which values."""
    values: dict[UUID, list[Any]] = {pk: [] for pk in about}
    masked: dict[UUID, dict[UUID, tuple[Rule, ...]]] = {pk: {} for pk in about}
    tools = {version: _tools(version) for _, version, _, _ in about.values()}
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
        rules, version, agent, subject = about[call.run_id]
        tool = tools[version].get(call.tool)
        told = [call.proposed_arguments, call.arguments, *wordings.get(call.pk, [])]
        told = [arguments for arguments in told if isinstance(arguments, dict)]
        mine: dict[Rule, None] = {}
        for arguments in told:
            action = Action(
                tool=call.tool,
                effect=call.effect or (str(tool.effect) if tool else ""),
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
        for pk, (rules, version, _, _) in about.items()
        if any(masked[pk].values())
    }


def _scrub(row: models.Model, scrubber: Scrubber, but: Collection[str] = ()) -> None:
    """Take the values out of all that is text or a document."""
    for field in row._meta.concrete_fields:
        if isinstance(field, models.TextField | models.JSONField) and field.name not in but:
            setattr(row, field.attname, scrubber.value(getattr(row, field.attname)))


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
