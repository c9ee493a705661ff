"""The two state machines, as tables."""

from typing import Any

import pytest

from agents.states import CALL_TRANSITIONS, FINAL_CALL, FINAL_RUN, RUN_TRANSITIONS, CallStatus, RunStatus
from approvals.states import TRANSITIONS, ApprovalStatus

MACHINES: list[tuple[Any, Any]] = [
    (CallStatus, CALL_TRANSITIONS),
    (RunStatus, RUN_TRANSITIONS),
    (ApprovalStatus, TRANSITIONS),
]


@pytest.mark.req("RUN-1")
@pytest.mark.parametrize(("statuses", "table"), MACHINES)
def test_every_status_has_its_moves_and_can_be_reached(statuses: Any, table: Any) -> None:
    assert set(table) == set(statuses)
    start = next(iter(statuses))
    reached, waiting = {start}, [start]
    while waiting:
        for status in table[waiting.pop()] - reached:
            reached.add(status)
            waiting.append(status)
    assert reached | {RunStatus.LOOP_DETECTED} >= set(statuses)


@pytest.mark.req("RUN-4")
def test_nothing_leads_out_of_an_end() -> None:
    assert all(not CALL_TRANSITIONS[status] for status in FINAL_CALL)
    assert all(not RUN_TRANSITIONS[status] for status in FINAL_RUN)


@pytest.mark.req("APR-1")
def test_the_only_way_to_execute_leads_through_approved() -> None:
    ways = [status for status, following in CALL_TRANSITIONS.items() if CallStatus.EXECUTING in following]
    assert ways == [CallStatus.APPROVED]


@pytest.mark.req("APR-1", "TOOL-4")
def test_only_a_judgement_a_decision_a_crash_or_a_person_approves() -> None:
    ways = {status for status, following in CALL_TRANSITIONS.items() if CallStatus.APPROVED in following}
    assert ways == {
        CallStatus.PROPOSED,
        CallStatus.PENDING_APPROVAL,
        CallStatus.APPROVED,
        CallStatus.EXECUTING,
        CallStatus.UNKNOWN,
    }
