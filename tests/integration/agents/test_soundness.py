"""What the database itself holds of runs, steps and calls, whoever writes them."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from agents.models import Run, Step, StepKind, ToolCall
from agents.states import FINAL_RUN, CallStatus, RunStatus
from tests import world

pytestmark = [pytest.mark.django_db, pytest.mark.req("RUN-4", "APR-1")]

NOW = timezone.now()
CLAIMED: dict[str, Any] = {"claim_fence": 1, "started_at": NOW, "digest": "d", "rule": "r"}


def refused(row: Any, **values: Any) -> bool:
    """Whether the database refuses these values of a row."""
    try:
        with transaction.atomic():
            type(row).objects.filter(pk=row.pk).update(**values)
    except IntegrityError:
        return True
    return False


@pytest.fixture
def run() -> Run:
    world.publish_agent()
    return world.start()


@pytest.fixture
def step(run: Run) -> Step:
    return Step.objects.create(run=run, seq=1, kind=StepKind.MODEL, payload={}, created_at=NOW)


@pytest.fixture
def call(step: Step) -> ToolCall:
    return ToolCall.objects.create(
        run=step.run,
        step=step,
        index=0,
        provider_call_id="c",
        tool="pay",
        proposed_arguments={},
        arguments={},
        created_at=NOW,
    )


@pytest.mark.parametrize("status", RunStatus)
def test_a_run_has_the_times_of_its_status(run: Run, status: RunStatus) -> None:
    over = NOW if status in FINAL_RUN else None
    held = NOW + timedelta(seconds=15) if status == RunStatus.RUNNING else None
    due = NOW if status == RunStatus.WAITING_RETRY else None
    right = {"status": status, "ended_at": over, "lease_until": held, "wake_at": due}
    assert not refused(run, **right)
    assert refused(run, **right | {"ended_at": None if over else NOW})
    assert refused(run, **right | {"lease_until": None if held else NOW})
    assert refused(run, **right | {"wake_at": None}) is (status == RunStatus.WAITING_RETRY)


def test_a_run_has_no_other_status_and_nothing_else_is_asked_of_it(run: Run) -> None:
    assert refused(run, status="gone")
    assert refused(run, requested="restart")


@pytest.mark.parametrize("status", CallStatus)
def test_a_call_is_judged_and_claimed_before_it_executes(call: ToolCall, status: CallStatus) -> None:
    free = {
        "status": status,
        "approval": None,
        "claim_fence": None,
        "started_at": None,
        "digest": "",
        "rule": "",
    }
    assert refused(call, **free) is (
        status in {CallStatus.EXECUTING, CallStatus.SUCCEEDED, CallStatus.FAILED, CallStatus.PENDING_APPROVAL}
    )
    if status != CallStatus.PENDING_APPROVAL:
        assert not refused(call, **free | CLAIMED)
    for name in CLAIMED:
        lacking = free | CLAIMED | {name: free[name]}
        needed = status == CallStatus.EXECUTING or (
            name == "claim_fence" and status in {CallStatus.SUCCEEDED, CallStatus.FAILED}
        )
        assert refused(call, **lacking) is (needed or status == CallStatus.PENDING_APPROVAL)


def test_a_call_has_no_other_status(call: ToolCall) -> None:
    assert refused(call, status="done", **CLAIMED)


@pytest.mark.parametrize("kind", StepKind)
def test_a_step_has_a_known_kind(step: Step, kind: StepKind) -> None:
    assert not refused(step, kind=kind)
    assert refused(step, kind="guess")
