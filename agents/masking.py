"""Requests, runs and spans without what rules keep from a person: before any page or program sees them.

Nothing is stored masked: what is decided, and what runs, stays what its digest stands for.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.db import models

from agents.hidden import Hidden, hidden_from
from agents.models import BatchRow, CaseResult, Run, Step, ToolCall
from approvals.access import Actor
from approvals.masks import Scrubber, without
from approvals.models import Approval, Kind
from approvals.policy import Rule
from approvals.unmasking import dress_rows, masked_as
from traces.models import Span

WITHHELD = {"summary": "The preview is withheld from you: it may show what is masked."}
_KEPT = "_gatehouse_masks"  # on a request that was masked
_SCRUBBER = "_gatehouse_scrubber"  # likewise


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


def hide_in_results(results: Sequence[CaseResult], actor: Actor) -> None:
    """Mask what the results of cases quote."""
    hidden = hidden_from(actor, [result.run_id for result in results if result.run_id])
    for result in results:
        if result.run_id in hidden:
            result.findings = hidden[result.run_id].scrubber.value(result.findings)


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


def _scrub(row: models.Model, scrubber: Scrubber, but: Collection[str] = ()) -> None:
    """Take the values out of all that is text or a document."""
    for field in row._meta.concrete_fields:
        if isinstance(field, models.TextField | models.JSONField) and field.name not in but:
            setattr(row, field.attname, scrubber.value(getattr(row, field.attname)))
