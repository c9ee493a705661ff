"""The audit log in words: what kinds of events there are, and what each says."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q

from agents.masking import hide_in_requests
from approvals.access import Actor
from approvals.models import Approval
from traces.models import Event, Seal
from traces.queries.audit import named

# What the filter offers: a word, its label, and the events it stands for.
KINDS: Mapping[str, tuple[str, Q]] = {
    "decisions": ("Decisions", named("approval.") & ~named("approval.edited", "approval.viewed")),
    "edits": ("Edits", named("approval.edited")),
    "views": ("Views", named("approval.viewed")),
    "rules": ("Rules, agents and tools", named("rule.", "policy.", "agent.", "tool.", "price.", "prices.")),
    "sign-ins": ("Sign-ins", named("user.signed_in", "user.signed_out", "user.sign_in_failed")),
    "tokens": (
        "Roles, tokens and keys",
        named("token.", "signing_key.", "step_up.", "user.roles_changed", "audit.key_replaced"),
    ),
    "grants": ("Grants", named("grant.")),
    "canaries": ("Planted tests", named("canary.", "canary_plan.")),
    "halts": ("Emergency stops", named("halt.", "breaker.")),
    "credentials": ("Credentials", named("credential.")),
    "deliveries": ("Deliveries", named("callback.", "delivery.", "notification.")),
    "audit": ("Exports and verifications", named("audit.")),
}
WORK = "work"  # everything, with what runs do by themselves

_WORDS: Mapping[str, str] = {
    "approval.requested": "asked for a decision: {title}",
    "approval.viewed": "looked at: {title}",
    "approval.edited": "changed what would happen: {title}",
    "approval.voted": "said yes, {votes} of {needed}: {title}",
    "approval.escalated": "passed on to the admins: {title}",
    "approval.approved": "approved: {title}",
    "approval.denied": "rejected: {title}",
    "approval.answered": "answered: {title}",
    "approval.expired": "expired, since nobody decided in time: {title}",
    "approval.withdrawn": "withdrew: {title}",
    "approval.cancelled": "cancelled with its run: {title}",
    "callback.delivered": "told the program that asked: {title}",
    "callback.dead": "could not tell the program that asked, and gave up: {title}",
    "callback.resent": "had the program told again: {title}",
    "canary.planted": "planted a test; which one is told once it is decided",
    "canary.caught": "caught a planted test: {title}",
    "canary.changed": "changed a planted test: {title}",
    "canary.missed": "let a planted test through: {title}",
    "canary.expired": "a planted test expired: {title}",
    "canary_plan.added": "added a planted test of {title}",
    "canary_plan.changed": "changed a planted test of {title}",
    "canary_plan.deleted": "deleted a planted test of {title}",
    "halt.pressed": "stopped {agent_or_all}",
    "halt.lifted": "let {agent_or_all} go on",
    "breaker.tripped": "tripped the breaker {object_id}",
    "breaker.lifted": "lifted the breaker {object_id}",
    "user.signed_in": "signed in",
    "user.signed_out": "signed out",
    "user.sign_in_failed": "somebody failed to sign in as {user_or_unknown}",
    "user.roles_changed": "gave {user} the roles {after}, who had {before}",
    "token.created": "made a token for {user}, role {role} ({prefix}…)",
    "token.revoked": "revoked the token {prefix}…",
    "signing_key.rotated": "replaced the key that signs callbacks for {user}",
    "step_up.enrolled": "set up a second factor",
    "step_up.proven": "gave a second factor ({how})",
    "step_up.failed": "gave a wrong code, {failures} in a row",
    "step_up.codes_renewed": "made new recovery codes",
    "step_up.removed": "removed the own second factor",
    "step_up.reset": "took away the second factor of {user}",
    "channel.gone": "removed the browser {name} of {user}, which takes no messages any more",
    "agent.published": "published version {version} of {object_id}",
    "credential.created": "stored the credential {name}",
    "credential.rotated": "replaced the credential {name}",
    "tool.appeared": "found a new tool: {tool} of {source}",
    "tool.changed": "found that {tool} of {source} changed, and holds it back",
    "tool.changed_back": "found that {tool} of {source} is as it was again",
    "tool.disappeared": "found that {tool} of {source} is gone",
    "tool.accepted": "accepted the tool {tool} of {source}",
    "tool.refused": "refused the tool {tool} of {source}",
    "price.set": "set the price of {object_id}",
    "price.removed": "removed the price of {object_id}",
    "audit.exported": "exported the audit log",
    "audit.verified": "verified the audit log: {events} events are whole",
    "audit.broken": "found the audit log damaged: {problem}",
    "audit.key_replaced": "had the audit log signed with a new key",
    "tool_call.claimed": "began {tool}",
    "tool_call.undo_asked": "asked to take back a call",
    "batch.started": "started the batch {batch} of {rows} rows with {agent}",
    "batch.paused": "paused the batch {batch}",
    "batch.resumed": "let the batch {batch} go on",
    "batch.cancelled": "cancelled the batch {batch}",
    "batch.completed": "finished the batch {batch}",
    "suite.applied": "changed the suite {object_id}, {cases} cases for {agent}",
    "suite.started": "ran the suite {suite} with {agent} v{version}",
    "suite.finished": "finished the suite {suite}: {passed} passed, {failed} failed",
    "suite.accepted": "accepted a result of the suite {suite} as its baseline: {passed} passed, {failed} failed",
    "run.cancel_requested": "cancelled the run",
    "run.pause_requested": "paused the run",
    "run.replayed": "replayed the run: nothing of that reached the world",
    "run.forked": "forked the run from step {step}: nothing of that reached the world",
    "run.made_a_case": "made a case of the run: nothing of that reached the world",
    "run.resumed": "let the run go on",
    "run.started": "started a run",
}


@dataclass(frozen=True, slots=True)
class Told:
    """An event as the page shows it."""

    event: Event
    who: str
    words: str
    reason: str
    link: str
    seal: int | None


def tell(events: Sequence[Event], actor: Actor) -> list[Told]:
    """The events in words. They come from `newest_events`, which has looked for their seals."""
    titles = _titles(events, actor)
    return [
        Told(
            event=event,
            who=who(event.actor),
            words=_words(event, titles),
            reason=str(event.data.get("reason") or ""),
            link=_link(event),
            seal=getattr(event, "seal", None),
        )
        for event in events
    ]


def who(actor: str) -> str:
    """An actor as people name it."""
    kind, _, name = actor.partition(":")
    match kind:
        case "user":
            return name
        case "token":
            return f"{name} (by token)"
        case "agent":
            return f"agent {name}"
        case "system":
            return "Gatehouse"
    return actor


def actors_named(text: str) -> list[str]:
    """The actors that somebody means who writes `ana`, or `token:ana`."""
    text = text.replace("\x00", "").strip()
    if not text:
        return []
    if text.lower() == "gatehouse":
        return ["system"]
    return [text] if ":" in text else [text, f"user:{text}", f"token:{text}", f"agent:{text}"]


def about(object_id: str, run_id: UUID | None) -> Q | None:
    """The events of one thing, or of one run; by the index that they have."""
    if run_id is not None:
        return Q(run_id=run_id, object_id=object_id) if object_id else Q(run_id=run_id)
    if not object_id:
        return None
    approval = Approval.objects.filter(pk=known).first() if (known := as_uuid(object_id)) else None
    return Q(run_id=approval.run_id if approval else None, object_id=object_id)


def as_uuid(text: str) -> UUID | None:
    """None where it is no id."""
    try:
        return UUID(text)
    except ValueError:
        return None


def newest_seal() -> Seal | None:
    """The last seal; its checkpoint is what an auditor notes."""
    return Seal.objects.defer("leaves").order_by("-number").first()


def _words(event: Event, titles: Mapping[str, str]) -> str:
    data = event.data
    template = _WORDS.get(event.name)
    if template is None:
        noun, _, verb = event.name.partition(".")
        return f"{noun}: {verb}".replace("_", " ")
    values: dict[str, Any] = defaultdict(str, {name: _flat(value) for name, value in data.items()})
    values["title"] = titles.get(_approval_of(event)) or _flat(data.get("tool", "")) or "a request"
    values["object_id"] = event.object_id
    values["agent_or_all"] = data.get("agent") or "all agents"
    values["user_or_unknown"] = data.get("user") or "a name that nobody has"
    told = template.format_map(values)
    return f"{told} (with a second factor)" if data.get("stepped_up") else told


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _approval_of(event: Event) -> str:
    """The id of the request that an event is about; empty where it is about none."""
    if event.name.startswith("approval."):
        return event.object_id
    return str(event.data.get("approval") or "")


def _titles(events: Sequence[Event], actor: Actor) -> dict[str, str]:
    ids = {known for event in events if (known := as_uuid(_approval_of(event)))}
    rows = list(Approval.objects.filter(pk__in=ids).only("title", "run_id", "requested_by_id"))
    hide_in_requests(rows, actor)
    return {str(row.pk): row.title for row in rows}


def _link(event: Event) -> str:
    if approval := as_uuid(_approval_of(event)):
        return f"/inbox/{approval}"
    if event.run_id:
        return f"/runs/{event.run_id}"
    if event.name.startswith("halt."):
        return "/halt"
    if event.name.startswith("audit."):
        return "/audit"
    return ""
