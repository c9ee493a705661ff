"""Several requests decided with one press: each by itself, in a transaction of its own, with a result of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from agents.decisions import decide
from approvals.access import Actor
from approvals.exceptions import AlreadyResolved, GateError, Invalid, Missing, NotAllowed, Stale
from approvals.models import Approval
from approvals.states import ApprovalStatus
from approvals.unmasking import told

MOST = 100  # at once

Came = Literal["done", "voted", "already_resolved", "changed", "not_allowed", "not_found", "invalid"]


@dataclass(frozen=True, slots=True)
class Frozen:
    """A request as it was shown, and what is to become of it."""

    id: UUID
    digest: str
    decision: str  # approve, reject
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one of them; nothing was changed unless it is `done` or `voted`."""

    id: UUID
    result: Came
    detail: str = ""
    approval: Approval | None = None


def decide_each(frozen: Sequence[Frozen], *, actor: Actor) -> list[Result]:
    """Decide one after the other, in the order given; what one comes to changes nothing for the next.

    Raises Invalid, with nothing decided, for more than MOST.
    """
    if len(frozen) > MOST:
        raise Invalid(f"{len(frozen)} were chosen: decide at most {MOST} at once.")
    return [_decided(each, actor) for each in frozen]


def _decided(each: Frozen, actor: Actor) -> Result:
    if each.decision not in ("approve", "reject"):
        return Result(each.id, "invalid", "Together, requests can be approved or rejected.")
    try:
        approval = decide(
            approval_id=each.id,
            actor=actor,
            decision=each.decision,
            digest=each.digest,
            reason=each.reason,
        )
    except AlreadyResolved as error:
        return Result(each.id, "already_resolved", str(error))
    except Stale as error:
        return Result(each.id, "changed", str(error))
    except NotAllowed as error:
        return Result(each.id, "not_allowed", str(error))
    except Missing as error:
        return Result(each.id, "not_found", str(error))
    except GateError as error:
        return Result(each.id, "invalid", str(error))
    if approval.status == ApprovalStatus.PENDING:
        return Result(each.id, "voted", "Your yes counts; more people must agree.", approval)
    return Result(each.id, "done", told(approval, to=actor), approval)
