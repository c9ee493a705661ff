"""A real worker is killed at one exact point of a run; another goes on. Nothing happens twice, unapproved, or not at all."""

import pytest

from agents.decisions import decide
from agents.models import Run, ToolCall
from approvals.models import Approval
from tests import tools, world
from tests.crash import worker
from tests.crash.conftest import Crew, sweep_until
from tests.crash.fate import Point
from tests.waiting import until
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-1", "RUN-5")]

TOOLS = ("pay", "pay_once")
DOOMED_LEASE = 0.3  # s; nobody takes over before the death, and nobody waits long after it

BOTH = ("before", "after")
# Each of these with a tool that may be repeated under the same key, and with one that may not.
# What a model said is written with what was decided about it; to settle what a person approved claims it.
STEPS = ("ask executor", "wait", "settle", "effect", "result", "finish")
POINTS = [Point(step, moment) for step in STEPS for moment in BOTH]
# What tool it is makes no difference here.
QUIET = [Point(step, moment) for step in ("plan", "wait", "observe") for moment in BOTH]
IN_DOUBT = [
    Point("settle", "after"),
    Point("effect", "before"),
    Point("effect", "after"),
    Point("result", "before"),
]


@pytest.fixture
def agent(tool: str) -> str:
    """An agent that plans, pays once by this one tool, and observes. Nothing is paid without an operator."""
    world.publish_agent(tool, pattern="plan_execute", tools=[{"python": f"tests.tools.{tool}"}])
    return tool


def of(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def one_pending(run: Run, kind: str = "action") -> Approval | None:
    return Approval.objects.filter(run_id=run.pk, status="pending", kind=kind).first()


def approve(run: Run) -> None:
    """Approve what the run asks, once it does."""
    request = sweep_until(lambda: one_pending(run), "the run asks for approval")
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)


def answer(run: Run, outcome: str) -> None:
    """Say what became of the call, once the run asks."""
    request = sweep_until(lambda: one_pending(run, "reconcile"), "the run asks what happened")
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="answer",
        digest=request.digest,
        answer={"outcome": outcome},
    )


def finished(run: Run) -> Run:
    """The run as it ended; its only payment was made once, after its approval."""
    sweep_until(lambda: of(run).is_final, f"{run} ends")
    ended = of(run)
    assert (ended.status, ended.output, ended.summary) == ("completed", "Paid.", "Paid."), ended.reason
    return ended


def assert_paid_once(run: Run) -> ToolCall:
    """One effect, under the call's own key, and only after a person approved."""
    call = ToolCall.objects.get(run=run)
    assert tools.effects() == [f"{call.tool} {call.pk} acme 40.0"]
    names = list(Event.objects.filter(run_id=run.pk).order_by("pk").values_list("name", flat=True))
    assert names.count("approval.approved") == 1
    assert names.index("approval.approved") < names.index("tool_call.claimed")
    return call


def die(crew: Crew, agent: str, point: Point) -> Run:
    """A run whose worker died at `point`; where the point lies behind the approval, it was given."""
    fate = crew.doom(point)
    process = crew.start(worker.work, fate, DOOMED_LEASE)
    run = world.start(agent, trusted_input=True)

    def dead_or_asking() -> bool:
        return not process.is_alive() or (of(run).status == "waiting_approval" and bool(one_pending(run)))

    until(dead_or_asking, f"the worker dies {point}, or asks")
    if process.is_alive() and point.step != "wait":
        approve(run)
    crew.bury(process, fate)
    return run


@pytest.mark.req("TOOL-4")
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_another_worker_goes_on(crew: Crew, agent: str, point: Point) -> None:
    run = die(crew, agent, point)
    go_on(crew, run, in_doubt=agent == "pay" and point in IN_DOUBT)
    call = assert_paid_once(run)
    if point not in IN_DOUBT:
        assert (call.status, call.attempts) == ("succeeded", 1)
    elif agent == "pay_once":
        assert (call.status, call.attempts) == ("succeeded", 2)


@pytest.mark.parametrize("tool", ["pay"])
@pytest.mark.parametrize("point", QUIET, ids=str)
def test_another_worker_goes_on_from_what_only_words_were_in(crew: Crew, agent: str, point: Point) -> None:
    run = die(crew, agent, point)
    go_on(crew, run)
    assert assert_paid_once(run).attempts == 1


def go_on(crew: Crew, run: Run, *, in_doubt: bool = False) -> None:
    """A fresh worker and a person bring the run to its end, whatever the dead worker left."""
    crew.hire()
    if not Approval.objects.filter(run_id=run.pk, status="approved").exists():
        approve(run)
    if in_doubt:
        before = tools.effects()
        sweep_until(lambda: of(run).status == "waiting_approval", "the run waits")
        assert of(run).reason == "A person must find out what became of a call."
        assert ToolCall.objects.get(run=run).status == "unknown"
        assert tools.effects() == before
        answer(run, "happened" if before else "not_happened")
    finished(run)


@pytest.mark.req("TOOL-4")
@pytest.mark.parametrize("tool", ["pay"])
@pytest.mark.parametrize(
    ("point", "outcome", "status", "told", "payments"),
    [
        (Point("effect", "after"), "happened", "reconciled", "success", 1),
        (Point("effect", "after"), "give_up", "reconciled", "unknown_outcome", 1),
        (Point("effect", "before"), "give_up", "reconciled", "unknown_outcome", 0),
        (Point("effect", "before"), "not_happened", "succeeded", "success", 1),
    ],
    ids=str,
)
def test_a_person_settles_what_nobody_can_know(
    crew: Crew, agent: str, point: Point, outcome: str, status: str, told: str, payments: int
) -> None:
    run = die(crew, agent, point)
    crew.hire()
    answer(run, outcome)
    finished(run)
    call = ToolCall.objects.get(run=run)
    assert call.result is not None
    assert (call.status, call.result["type"]) == (status, told)
    assert tools.effects() == [f"pay {call.pk} acme 40.0"] * payments
    assert call.attempts == 1  # what did not happen does not count


@pytest.mark.req("TOOL-4")
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("moment", BOTH)
def test_a_worker_dies_while_it_recovers_from_a_death(crew: Crew, agent: str, moment: str) -> None:
    run = die(crew, agent, Point("effect", "after"))
    fate = crew.doom(Point("recover", moment))
    process = crew.start(worker.work, fate, DOOMED_LEASE)
    sweep_until(lambda: not process.is_alive(), "the second worker dies, too")
    crew.bury(process, fate)
    go_on(crew, run, in_doubt=agent == "pay")
    assert assert_paid_once(run).attempts == (1 if agent == "pay" else 2)
    assert Approval.objects.filter(run_id=run.pk, kind="reconcile").count() == (agent == "pay")


@pytest.mark.req("APR-4")
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("moment", BOTH)
def test_who_takes_a_decision_dies(crew: Crew, agent: str, moment: str) -> None:
    crew.hire()
    run = world.start(agent, trusted_input=True)
    until(lambda: of(run).status == "waiting_approval", "the run waits")
    request = world.pending(run)
    fate = crew.doom(Point("decision", moment))
    process = crew.start(worker.approve, fate, request.pk, request.digest, world.operator().user.username)
    crew.bury(process, fate)
    decided = Approval.objects.get(pk=request.pk)
    assert decided.status == ("pending" if moment == "before" else "approved")
    assert of(run).status == "waiting_approval"  # nobody could tell it
    if moment == "before":
        approve(run)
    finished(run)
    assert assert_paid_once(run).attempts == 1


@pytest.mark.parametrize("tool", ["pay"])
@pytest.mark.parametrize("moment", BOTH)
def test_who_starts_a_run_dies(crew: Crew, agent: str, moment: str) -> None:
    fate = crew.doom(Point("start", moment))
    crew.bury(crew.start(worker.start, fate, agent), fate)
    if moment == "before":
        assert not Run.objects.exists()
        return
    go_on(crew, Run.objects.get())
    assert_paid_once(Run.objects.get())
