"""The small world that tests share: people, agents with scripted models, and runs."""

from typing import Any

from django.contrib.auth.models import Group, User

from agents.actions import publish, start_run
from agents.decisions import decide
from agents.models import AgentVersion, Run, ToolCall
from agents.runtime.loop import advance
from approvals.access import Actor
from approvals.models import Approval

TOOLS = (
    "get_balance",
    "read_mail",
    "add_note",
    "pay",
    "pay_once",
    "lose_reply",
    "fail_cleanly",
    "break_off",
    "return_oddities",
    "never_answer",
    "have_broken_check",
    "have_broken_preview",
    "leak_key",
)


def person(name: str, *roles: str) -> User:
    """A person with these roles; made where missing."""
    user, _ = User.objects.get_or_create(username=name)
    user.groups.set([Group.objects.get_or_create(name=role)[0] for role in roles])
    return User.objects.get(pk=user.pk)  # roles are kept on the object


def operator(name: str = "ana") -> Actor:
    """An operator in the browser."""
    return Actor(user=person(name, "operator"))


def publish_agent(name: str = "teller", **changes: Any) -> AgentVersion:
    """An agent with all test tools and a scripted model; `changes` go over its configuration."""
    config: dict[str, Any] = {
        "purpose": "Pays what is owed.",
        "instructions": "Look before you pay.",
        "pattern": "react",
        "models": {"executor": "scripted:test"},
        "tools": [{"python": f"tests.tools.{tool}"} for tool in TOOLS],
    }
    version, _ = publish(name=name, config=config | changes, actor=None)
    return version


def publish_gateway(name: str = "door", **changes: Any) -> AgentVersion:
    """A gateway to all test tools; `changes` go over its configuration."""
    config: dict[str, Any] = {
        "purpose": "Lets other programs pay what is owed.",
        "pattern": "gateway",
        "tools": [{"python": f"tests.tools.{tool}"} for tool in TOOLS],
    }
    version, _ = publish(name=name, config=config | changes, actor=None)
    return version


def start(agent: str = "teller", *, started_by: User | None = None, **values: Any) -> Run:
    """A queued run; advance it by `carry_on`."""
    actor = Actor(user=started_by) if started_by else None
    return start_run(agent=agent, actor=actor, **{"input": "Pay what we owe to acme.", **values})


def carry_on(run: Run) -> Run:
    """Carry the run to its next wait or its end, as a worker does."""
    advance(run.pk)
    return Run.objects.get(pk=run.pk)


def carry_on_approved(run: Run) -> Run:
    """Approve the one request of the run, and carry it on."""
    request = pending(run)
    decide(approval_id=request.pk, actor=operator(), decision="approve", digest=request.digest)
    return carry_on(run)


def pending(run: Run) -> Approval:
    """The one request of the run that waits for a person."""
    return Approval.objects.get(run_id=run.pk, status="pending")


def agree(approval: Approval, name: str = "cleo") -> Approval:
    """A second person says yes to what stands."""
    standing = Approval.objects.get(pk=approval.pk)
    return decide(approval_id=approval.pk, actor=operator(name), decision="approve", digest=standing.digest)


def calls(run: Run) -> list[tuple[str, str]]:
    """Tool and status of the run's calls, in order."""
    rows = ToolCall.objects.filter(run=run).order_by("step__seq", "index")
    return [(call.tool, call.status) for call in rows]
