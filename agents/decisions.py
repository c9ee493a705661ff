"""A person's decision about a request: the one door for console and API.

An edited action is validated and judged like the agent's own, before it goes to the gate.
"""

from typing import Any
from uuid import UUID

from django.utils import timezone
from jsonschema import Draft202012Validator

from agents.hidden import require_sees_all
from agents.models import ToolCall
from agents.runtime.binding import as_action, call_digest
from agents.runtime.drift import fingerprint
from agents.runtime.reads import asking_context
from agents.runtime.requesting import show
from agents.tools.registry import tools_of
from agents.tools.results import Denied
from agents.tools.validation import BadArguments, validate
from approvals import deciding
from approvals.access import Actor, get_approval, require_may_decide
from approvals.digest import action_digest
from approvals.exceptions import Invalid
from approvals.eyes import terms_of
from approvals.models import Approval, Kind
from approvals.policy import Outcome, evaluate
from approvals.revising import Edit

DECISIONS = ("approve", "edit", "reject", "answer", "escalate")


def decide(
    *,
    approval_id: UUID,
    actor: Actor,
    decision: str,
    digest: str,
    arguments: dict[str, Any] | None = None,
    answer: dict[str, Any] | None = None,
    reason: str = "",
) -> Approval:
    """Take a person's decision; `digest` is of what the person was shown.

    Raises approvals' NotAllowed, Missing, AlreadyResolved, Stale, Invalid.
    """
    now = timezone.now()
    match decision:
        case "approve":
            if arguments is not None:  # who may not see them can't find them out by trying
                shown = get_approval(approval_id, actor=actor)
                require_sees_all(shown, actor, to="send them along")
            if arguments is not None and arguments != shown.arguments:
                raise Invalid("These are not the arguments that were shown: decide `edit` to change them.")
            return deciding.approve(approval_id, actor=actor, digest=digest, reason=reason, now=now)
        case "edit":
            if arguments is None:
                raise Invalid("An edit needs the arguments as they are to run.")
            edit = _edit(_editable(approval_id, actor), arguments, actor, final=True)
            return deciding.approve(
                approval_id, actor=actor, digest=digest, reason=reason, edit=edit, now=now
            )
        case "reject":
            if not reason.strip():
                raise Invalid(
                    "Say why: the agent is told.", errors=[{"path": ["reason"], "message": "required"}]
                )
            return deciding.reject(approval_id, actor=actor, digest=digest, reason=reason, now=now)
        case "answer":
            if answer is None:
                raise Invalid("An answer is needed.", errors=[{"path": ["answer"], "message": "required"}])
            return deciding.answer(
                approval_id, actor=actor, digest=digest, answer=answer, reason=reason, now=now
            )
        case "escalate":
            return deciding.escalate(approval_id, actor=actor, digest=digest, reason=reason, now=now)
    raise Invalid(f"{decision!r} is no decision; use one of {', '.join(DECISIONS)}.")


def preview_edit(*, approval_id: UUID, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
    """What an edit would come to, changing nothing: title, preview, digest, changes, and errors by place."""
    approval = _editable(approval_id, actor)
    changes = [
        {"field": name, "before": approval.arguments.get(name), "after": arguments.get(name)}
        for name in sorted(approval.arguments.keys() | arguments.keys())
        if approval.arguments.get(name) != arguments.get(name)
    ]
    shown: dict[str, Any] = {
        "title": approval.title,
        "preview": {},
        "digest": "",
        "changes": changes,
        "errors": [],
    }
    try:
        edit = _edit(approval, arguments, actor)
    except Invalid as error:
        return shown | {"errors": error.errors or [{"path": [], "message": str(error)}]}
    return shown | {"title": edit.title, "preview": edit.preview, "digest": edit.digest}


def _editable(approval_id: UUID, actor: Actor) -> Approval:
    approval = get_approval(approval_id, actor=actor)
    require_may_decide(actor, approval)
    require_sees_all(approval, actor, to="change it")
    if approval.kind != Kind.ACTION:
        raise Invalid(f"Approval {approval.pk} is a {approval.kind}: there is nothing to edit.")
    return approval


def _edit(approval: Approval, arguments: dict[str, Any], actor: Actor, *, final: bool = False) -> Edit:
    """The person's wording, validated and judged; with what it rests on, where it is `final`. Raises Invalid."""
    if approval.call_id is None:
        return _edit_of_another_program(approval, arguments)
    call = ToolCall.objects.select_related("run__version__agent", "step").get(pk=approval.call_id)
    tool = tools_of(call.run.version.parsed).get(call.tool)
    if tool is None:
        raise Invalid(f"The tool {call.tool} is gone: reject this request.")
    context = asking_context(call, agent=approval.agent, actor=str(actor))
    try:
        validate(tool, context, arguments)
        shown = show(tool, context, arguments)
    except BadArguments as error:
        raise Invalid(f"These arguments don't fit: {error}", errors=error.errors) from error
    except Denied as error:
        raise Invalid(f"The tool denies this: {error}") from error
    verdict = evaluate(
        as_action(call.run, tool, arguments, tainted=call.tainted), call.run.version.parsed.rules()
    )
    if verdict.outcome is Outcome.DENY:
        raise Invalid(f"The policy denies this wording: {verdict.rule}")
    return Edit(
        arguments=arguments,
        digest=call_digest(call.run, tool, arguments),
        title=shown.title,
        preview=shown.preview,
        approvers=verdict.approvers,
        role=verdict.role,
        rule=f"{verdict.rule} ({verdict.why})",
        roles=verdict.roles,
        denials=verdict.denials,
        hold=verdict.hold,
        step_up=verdict.step_up,
        fingerprint=fingerprint(tool, context, arguments) if final else None,
    )


def _edit_of_another_program(approval: Approval, arguments: dict[str, Any]) -> Edit:
    errors = [
        {"path": list(error.absolute_path), "message": error.message}
        for error in Draft202012Validator(approval.parameters).iter_errors(arguments)
    ]
    if errors:
        raise Invalid(f"These arguments don't fit: {errors[0]['message']}", errors=errors)
    terms = terms_of(approval)
    return Edit(
        arguments=arguments,
        digest=action_digest(
            tool=approval.tool,
            tool_digest=approval.tool_digest,
            arguments=arguments,
            subject=approval.subject,
            policy_digest=approval.policy_digest,
        ),
        title=approval.title,
        preview=approval.preview,
        approvers=approval.approvers,
        role=approval.role,
        rule=approval.rule,
        roles=tuple(terms.roles),
        denials=terms.denials,
        hold=terms.hold,
        step_up=terms.step_up,
    )
