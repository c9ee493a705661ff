"""How a run advances: the only orchestrator.

`advance` claims a run and does one committed step after another until the run waits or ends. What to do next is
decided by `decide.next_action`, a pure function of what is stored; how each thing is done stands in the module that
its branch names. A worker that dies at any line leaves rows from which the next claim goes on.
"""

from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import structlog
from django.utils import timezone

from agents.exceptions import Changed, LeaseLost
from agents.models import Run
from agents.runtime import (
    children,
    concluding,
    delegating,
    ending,
    execution,
    hearing,
    judging,
    leases,
    observing,
    planning,
    recovery,
    remembering,
    replanning,
    routing,
    sequence,
    settling,
    summarising,
    turns,
    verifying,
)
from agents.runtime.asking import AskFailed
from agents.runtime.decide import (
    Action,
    Aggregate,
    Ask,
    AskPlan,
    CallModel,
    CallNext,
    Conclude,
    Delegate,
    DropSteps,
    Execute,
    Finish,
    Freeze,
    Gather,
    Judge,
    Observe,
    PassOn,
    Pause,
    Plan,
    Recall,
    Recover,
    RetryLater,
    Route,
    Settle,
    Summarise,
    TakeAnswer,
    TakePlan,
    TakeSteering,
    Triage,
    Verify,
    Wait,
    next_action,
)
from agents.runtime.journal import give_back_connection, write
from agents.runtime.stretch import Stretch
from agents.states import RunStatus
from approvals.exceptions import Halted

log = structlog.get_logger(__name__)


def advance(run_id: UUID) -> None:
    """Carry a run over one stretch: from here to its next wait, or its end. Does nothing if another worker has it."""
    run = leases.claim(run_id, now=timezone.now())
    if run is not None:
        _hold(run, lambda: Stretch.load(run))


def go_on(stretch: Stretch) -> None:
    """Carry a run that its maker holds from its beginning, by `leases.hold`, over its first stretch."""
    _hold(stretch.run, lambda: stretch)


def _hold(run: Run, load: Callable[[], Stretch]) -> None:
    run_id = run.pk
    try:
        _advance(load())
    except LeaseLost as lost:
        log.warning("run.lost", run=str(run_id), reason=str(lost))
        leases.give_back(run)  # should it still be ours
    except BaseException:
        # Nothing that was done is lost: the sweeper wakes it again, a limited number of times.
        with suppress(LeaseLost):
            write(run)
        leases.give_back(run)
        raise
    finally:
        leases.let_go(run)
        give_back_connection()


def _advance(stretch: Stretch) -> None:
    while stretch.run.status == RunStatus.RUNNING:
        stretch.refresh()
        try:
            _perform(stretch, next_action(stretch.snapshot()))
        except AskFailed as failed:
            ending.retry_or_fail(stretch, failed)
        except Halted as halt:
            ending.freeze(stretch, str(halt))
        except Changed:
            stretch.look_again()  # somebody was first


def _perform(stretch: Stretch, action: Action) -> None:
    match action:
        case Plan():
            planning.make_plan(stretch)
        case CallModel():
            hearing.take_messages(stretch)
            turns.take_turn(stretch)
        case Recall():
            remembering.recall(stretch)
        case Summarise():
            summarising.summarise(stretch)
        case CallNext():
            sequence.call_next(stretch)
        case Judge():
            judging.judge_all(stretch)
        case Settle(call):
            settling.settle(stretch, stretch.call(call))
        case Execute(call):
            execution.execute_once(stretch, stretch.call(call))
        case RetryLater():
            ending.retry_calls(stretch)
        case Recover(call):
            recovery.recover(stretch, stretch.call(call))
        case Observe():
            observing.observe(stretch)
        case Verify():
            verifying.ask_to_correct(stretch)
        case Ask():
            ending.ask_and_wait(stretch)
        case TakeAnswer():
            settling.take_answer(stretch)
        case Wait():
            ending.wait(stretch, action)
        case Freeze(reason):
            ending.freeze(stretch, reason)
        case Pause():
            ending.pause(stretch)
        case Finish():
            if (
                action.status == RunStatus.COMPLETED
                and stretch.config.pattern == ending.HEARING
                and hearing.take_messages(stretch)
            ):
                return  # they came while it gave its answer, and it can still hear them
            ending.finish(stretch, action)
        case Triage():
            routing.triage(stretch)
        case Route():
            routing.route(stretch)
        case Delegate():
            delegating.delegate(stretch)
        case Gather():
            children.gather(stretch)
        case Aggregate(may_delegate):
            delegating.aggregate(stretch, may_delegate=may_delegate)
        case PassOn(what):
            children.pass_on(stretch, what)
        case AskPlan():
            replanning.ask_plan(stretch)
        case TakePlan():
            replanning.take_plan(stretch)
        case TakeSteering():
            replanning.take_steering(stretch)
        case DropSteps(numbers):
            replanning.drop_steps(stretch, numbers)
        case Conclude():
            concluding.conclude(stretch)
