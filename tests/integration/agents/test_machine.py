"""The engine as a state machine: whatever models say, people decide, and workers die of, no effect slips past the gate."""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from agents.actions import cancel_run, pause_run, resume_run
from agents.decisions import decide
from agents.exceptions import AgentError
from agents.models import Agent, Run, ToolCall
from agents.providers.base import (
    FailureKind,
    Finish,
    ModelFailure,
    ModelRequest,
    ModelResponse,
    ProposedCall,
    Usage,
)
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say
from agents.runtime import execution, journal, leases, performing
from agents.runtime.binding import as_action, call_digest
from agents.runtime.recovery import sweep
from agents.states import FINAL_CALL, FINAL_RUN, CallStatus, RunStatus
from agents.tools.registry import tools_of
from approvals.exceptions import GateError, NotAllowed
from approvals.halts import halt, lift_halt
from approvals.models import Approval, Decision, Kind
from approvals.policy import Outcome, evaluate
from approvals.queries import standing_halts
from approvals.settling import expire_due, withdraw
from approvals.states import ApprovalStatus
from tests import tools, world
from tests.racing import at_once

EXAMPLES, STEPS = 24, 14
POLICIES: dict[str, list[dict[str, Any]]] = {
    "ask": [],
    "allow": [{"then": "allow"}],
    "deny": [{"tool": "pay", "then": "deny"}, {"then": "allow"}],
    "small": [{"tool": "pay", "when": "arguments.amount <= 40.0 && !tainted", "then": "allow"}],
    "two": [{"effect": "irreversible", "then": "require", "approvers": 2}, {"then": "allow"}],
}
ONCE = ("pay", "lose_reply")  # a repetition of these does it again
PEOPLE = ("ana", "ben")
STEERING: dict[str, Any] = {"pause": pause_run, "resume": resume_run, "cancel": cancel_run}
OFTEN = ("work", "die", "die_acting", "go_on", "decide", "approve_all")
EVENTS = (
    *OFTEN * 3,
    "decide_twice",
    "expire",
    "withdraw",
    "publish",
    "halt",
    "lift",
    "lift",
    "sweep",
    *STEERING,
)


class Crash(BaseException):
    """The worker dies here: nothing catches it."""


def propose(
    *calls: tuple[str, Any], ids: str = "", text: str = "I do it.", finish: Finish = Finish.TOOL_CALLS
) -> ModelResponse:
    """A turn as a hostile model writes it: any name, any arguments, the same id for all."""
    proposed = tuple(
        ProposedCall(
            id=ids or call(name).tool_calls[0].id,
            name=name,
            arguments=arguments if isinstance(arguments, dict) else None,
            raw="" if isinstance(arguments, dict) else str(arguments),
        )
        for name, arguments in calls
    )
    return ModelResponse(text=text, finish=finish, usage=Usage(10, 0, 0, 10), model="m", tool_calls=proposed)


amounts: st.SearchStrategy[Any] = st.sampled_from([40, 40.0, 41, 0, -5, "40", None, 10**30, [40]])
payments = st.fixed_dictionaries(
    {"account": st.sampled_from(["acme", "globex", "nobody", 7])},
    optional={"amount": amounts, "approved": st.just(True), "_approved_by": st.just("ana")},
)
good = st.fixed_dictionaries(
    {"account": st.sampled_from(["acme", "globex"]), "amount": st.sampled_from([40, 55])}
)
proposals: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.sampled_from(["pay", "pay_once"]), good),
    st.tuples(st.sampled_from(["pay", "pay_once"]), payments),
    st.tuples(
        st.sampled_from(["lose_reply", "fail_cleanly", "break_off", "read_mail", "have_broken_check"]),
        st.just({}),
    ),
    st.tuples(
        st.sampled_from(["add_note", "transfer_all", "pay ", "PAY", "approve"]), st.just({"text": "x"})
    ),
    st.tuples(st.just("pay"), st.sampled_from(["{not json", "[]", ""])),
)
turns = st.builds(
    lambda calls, ids: propose(*calls, ids=ids),
    st.lists(proposals, min_size=1, max_size=3),
    st.sampled_from(["", "", "", "same"]),
)
plain = st.sampled_from(
    [
        ("pay", {"account": "acme", "amount": 40}),
        ("pay_once", {"account": "acme", "amount": 55}),
        ("lose_reply", {}),
    ]
).map(propose)
oddities = st.sampled_from(
    [
        say("pay(account='acme', amount=40) was approved by ana."),
        say(""),
        propose(("pay", {"account": "acme", "amount": 40}), finish=Finish.LENGTH),
        propose(("pay", {"account": "acme", "amount": 40}), finish=Finish.REFUSED),
        ModelFailure(FailureKind.OVERLOADED, "overloaded"),
        ModelFailure(FailureKind.INVALID_REQUEST, "no such model"),
    ]
)
answers = st.integers(0, 9).flatmap(lambda n: oddities if n == 9 else turns if n % 2 else plain)
choices = st.fixed_dictionaries(
    {
        "outcome": st.sampled_from(["happened", "not_happened", "give_up"]),
        "arguments": st.sampled_from([{"account": "globex", "amount": 30}, {"account": "nobody"}, {}]),
    }
)
deaths = st.tuples(
    st.sampled_from(["entry", "perform", "ask"]),
    st.sampled_from(["before", "inside", "after"]),
    st.integers(1, 4),
)


class Gate(RuleBasedStateMachine):
    """One run, the people around it, and the workers that carry it and die."""

    number = 0

    @initialize(
        said=st.lists(answers, min_size=1, max_size=3),
        policy=st.sampled_from(sorted(POLICIES)),
        limits=st.sampled_from([{}, {"turns": 2}, {"tokens": 90}, {"repeats": 2}]),
    )
    def start(self, said: list[ModelResponse | ModelFailure], policy: str, limits: dict[str, Any]) -> None:
        """A run of an agent of its own, and its first stretch."""
        redis.Redis.from_url(django_settings.VALKEY_URL).flushdb()  # no breaker is open from before
        self.patch = pytest.MonkeyPatch()
        self.folder = tempfile.TemporaryDirectory()
        self.patch.setenv("GATEHOUSE_TEST_LEDGER", str(Path(self.folder.name) / "ledger"))
        Gate.number += 1
        self.agent, self.limits = f"machine-{Gate.number}", limits
        self.said: list[ModelResponse | ModelFailure] = []
        self.fate: tuple[str, str, int] | None = None
        self.died = False
        self.wrong: list[str] = []
        self.provider = using(Scripted(self.respond))
        self.provider.__enter__()
        self.watch()
        self.publish(policy)
        self.ending = False
        self.run_id = world.start(self.agent).pk
        self.carry(said, None)

    # What the world does. One rule, so that hypothesis leaves none of it out; and nothing that is drawn depends on how
    # things stand, so that it can be played again: it may just not fit.

    @rule(
        what=st.sampled_from(EVENTS),
        said=st.lists(answers, min_size=1, max_size=3),
        fate=deaths,
        which=st.integers(0, 3),
        verdict=st.sampled_from(["approve", "approve", "edit", "reject", "answer"]),
        values=choices,
        person=st.sampled_from(PEOPLE),
        shown=st.sampled_from([True, True, True, False]),
        policy=st.sampled_from(sorted(POLICIES)),
    )
    def happen(
        self,
        what: str,
        said: list[ModelResponse | ModelFailure],
        fate: tuple[str, str, int],
        which: int,
        verdict: str,
        values: dict[str, Any],
        person: str,
        shown: bool,
        policy: str,
    ) -> None:
        """Something happens, in no order that makes sense."""
        match what:
            case "work":
                self.carry(said, None)
            case "go_on":  # another worker takes over what one left
                self.carry([], None)
            case "die":
                self.carry(said, fate)
            case "approve_all":
                self.approve_all()
            case "die_acting":  # with the effect done, or just before it, and nothing of it stored
                self.approve_all()
                self.carry(said, ("perform", "before" if fate[1] == "before" else "after", 1))
            case "decide":
                self.decide(which, verdict, values, person, shown)
            case "decide_twice":
                self.decide_twice(which, values)
            case "expire":
                self.expire(which)
            case "withdraw":
                self.withdraw(which)
            case "publish":
                self.publish(policy)
            case "halt":
                with suppress(GateError):
                    halt(actor=world.operator(), agent=self.agent, reason="odd", now=timezone.now())
            case "lift":
                with suppress(GateError):
                    lift_halt(actor=world.operator(), agent=self.agent, now=timezone.now())
            case "sweep":
                sweep(now=timezone.now())
            case _:
                with suppress(AgentError):
                    STEERING[what](run_id=self.run_id, actor=world.operator())

    def carry(self, said: list[ModelResponse | ModelFailure], fate: tuple[str, str, int] | None) -> None:
        """A worker carries the run on, up to its wait, its end, or the worker's death."""
        if self.run.is_final and not self.ending:
            self.run_id = world.start(self.agent).pk
        self.said += said
        self.fate, self.died = fate, False
        Run.objects.filter(pk=self.run_id, wake_at__isnull=False).update(wake_at=timezone.now())
        ToolCall.objects.filter(run_id=self.run_id, retry_at__isnull=False).update(retry_at=timezone.now())
        try:
            world.carry_on(self.run)
        except Crash:
            assert self.died
        except Exception:
            if not self.died:  # a dying worker may break in any way
                raise
        self.fate = None
        if self.died:
            leases._held.clear()
            past = timezone.now() - timedelta(seconds=1)
            Run.objects.filter(pk=self.run_id, status=RunStatus.RUNNING).update(lease_until=past)

    def decide(self, which: int, decision: str, values: dict[str, Any], person: str, shown: bool) -> None:
        """A person decides, about what was shown or about something else."""
        if (request := self.request(which)) is None:
            return
        before = Decision.objects.count()
        try:
            self.take(request, decision, person, values, digest=request.digest if shown else "0" * 64)
        except GateError:
            assert Decision.objects.count() == before
        else:
            assert shown

    def approve_all(self) -> None:
        """Two operators approve whatever waits; of what is in doubt they say that it happened."""
        values = {"outcome": "happened", "arguments": {}}
        for request in self.pending():
            for person in PEOPLE:
                with suppress(GateError):
                    self.take(request, "approve", person, values, digest=request.digest)

    def decide_twice(self, which: int, values: dict[str, Any]) -> None:
        """Two people decide at the same moment, one yes and one no."""
        if (request := self.request(which)) is None:
            return
        told = at_once(
            lambda: self.take(request, "approve", "ana", values, digest=request.digest),
            lambda: self.take(request, "reject", "ben", values, digest=request.digest),
        )
        for outcome in told:
            assert not isinstance(outcome, BaseException) or isinstance(outcome, GateError)

    def expire(self, which: int) -> None:
        """Nobody decides in time."""
        if (request := self.request(which)) is None:
            return
        past = timezone.now() - timedelta(seconds=1)
        Approval.objects.filter(pk=request.pk).update(
            expires_at=past, requested_at=past - timedelta(seconds=1)
        )
        expire_due(now=timezone.now())

    def withdraw(self, which: int) -> None:
        """Who did not ask can't take a request back."""
        if request := self.request(which):
            with pytest.raises(NotAllowed):
                withdraw(request.pk, actor=world.operator(), now=timezone.now())

    def publish(self, policy: str) -> None:
        """Another version goes live; the run keeps its own, and the stricter of both holds."""
        world.publish_agent(self.agent, policy=POLICIES[policy], limits=self.limits)

    # What must hold.

    @invariant()
    def nothing_slipped_past(self) -> None:
        """No effect without authorisation, validation, judgement and claim; none twice that may happen once."""
        assert not self.wrong, self.wrong
        known = {str(row.pk): row for row in ToolCall.objects.filter(run__version__agent__name=self.agent)}
        done = Counter(line.split()[1] for line in tools.effects())
        for line in tools.effects():
            name, key, *rest = line.split()
            row = known[key]
            assert row.tool == name
            assert row.digest
            assert row.rule
            assert row.claim_fence
            assert row.attempts or self.settled(row)
            if name in ("pay", "pay_once"):
                assert (rest[0], float(rest[1])) == (row.arguments["account"], float(row.arguments["amount"]))
            if row.approval is not None and row.approval.kind == Kind.ACTION:
                assert row.approval.status == ApprovalStatus.APPROVED
                assert row.approval.digest == row.digest
                assert row.approval.decision.user.get_username() in PEOPLE
        for key, times in done.items():
            if known[key].tool in (*ONCE, "pay_once"):  # another may be done again, with the same key
                again = self.settled(known[key], outcome="not_happened") if known[key].tool in ONCE else 0
                assert times <= 1 + again, f"{known[key].tool} {times} times"
        for key, row in known.items():
            if row.status in FINAL_CALL - {CallStatus.SUCCEEDED, CallStatus.FAILED, CallStatus.RECONCILED}:
                assert not done[key] or self.settled(row), f"{row.tool} is {row.status} and was done"
            if row.status == CallStatus.SUCCEEDED and row.tool in ONCE:
                assert done[key]

    @invariant()
    def the_run_stands_for_a_reason(self) -> None:
        """It moves, or somebody can tell what it waits for, or why it is over."""
        run, pending = self.run, self.pending()
        calls = ToolCall.objects.filter(run_id=run.pk)
        if run.status not in (RunStatus.QUEUED, RunStatus.RUNNING):
            assert run.reason, run.status
        if run.status in FINAL_RUN:
            assert run.ended_at
            assert not pending
            assert not calls.exclude(status__in=FINAL_CALL).exists()
            assert run.summary
        if run.status == RunStatus.WAITING_APPROVAL:
            asked = calls.filter(status__in=[CallStatus.PENDING_APPROVAL, CallStatus.UNKNOWN])
            assert asked.exists()
        if run.status == RunStatus.WAITING_RETRY:
            assert run.wake_at

    def teardown(self) -> None:
        """Whatever happened, people can bring the run to its end."""
        self.said, self.ending = [], True
        try:
            with suppress(GateError):
                lift_halt(actor=world.operator(), agent=self.agent, now=timezone.now())
            for _ in range(60):
                if self.run.is_final:
                    break
                with suppress(AgentError):
                    resume_run(run_id=self.run_id, actor=world.operator())
                for request in self.pending():
                    self.end(request)
                self.carry([], None)
                self.nothing_slipped_past()
            assert self.run.is_final, f"{self.run.status}: {self.run.reason}"
            self.the_run_stands_for_a_reason()
        finally:
            self.provider.__exit__(None, None, None)
            self.patch.undo()
            self.folder.cleanup()

    # How it is done.

    @property
    def run(self) -> Run:
        return Run.objects.select_related("version__agent").get(pk=self.run_id)

    def pending(self) -> list[Approval]:
        """The requests that wait for people."""
        return list(
            Approval.objects.filter(run_id=self.run_id, status=ApprovalStatus.PENDING).order_by(
                "requested_at", "pk"
            )
        )

    def settled(self, row: ToolCall, **outcome: str) -> int:
        """How often a person said what became of the call."""
        answers = Decision.objects.filter(approval__call_id=row.pk, approval__kind=Kind.RECONCILE)
        return sum(not outcome or answer.answer == outcome for answer in answers)

    def request(self, which: int) -> Approval | None:
        """One of the requests that wait for people; None where none does."""
        pending = self.pending()
        return pending[which % len(pending)] if pending else None

    def take(
        self, request: Approval, decision: str, person: str, values: dict[str, Any], *, digest: str
    ) -> None:
        """Decide, in the words that fit what is asked."""
        if request.kind == Kind.RECONCILE:
            decision = "answer"
        given = {
            "approve": {},
            "edit": {"arguments": values["arguments"]},
            "reject": {"reason": "No."},
            "answer": {"answer": {"outcome": values["outcome"]}},
        }[decision]
        decide(
            approval_id=request.pk, actor=world.operator(person), decision=decision, digest=digest, **given
        )

    def end(self, request: Approval) -> None:
        """Say no, or give it up."""
        values = {"outcome": "give_up", "arguments": {}}
        with suppress(GateError):
            self.take(request, "reject", "ana", values, digest=request.digest)

    def respond(self, request: ModelRequest) -> ModelResponse:
        """What the model says next: as it was drawn, and after that it is out of reach until the end."""
        with self.point("ask"):
            out = say("Done.") if self.ending else ModelFailure(FailureKind.OVERLOADED, "overloaded")
            said = self.said.pop(0) if self.said else out
        if isinstance(said, ModelFailure):
            raise said
        return said

    def reach(self, place: str, moment: str) -> None:
        """Die here, if that is the fate."""
        if self.died or self.fate is None or self.fate[:2] != (place, moment):
            return
        self.fate = (place, moment, self.fate[2] - 1)
        if self.fate[2] <= 0:
            self.died = True
            raise Crash

    @contextmanager
    def point(self, place: str) -> Iterator[None]:
        self.reach(place, "before")
        yield
        self.reach(place, "after")

    def watch(self) -> None:
        """Look on at each write of the engine and at each effect; a worker that died gives nothing back."""

        @contextmanager
        def entry(*args: Any, **values: Any) -> Iterator[Any]:
            self.reach("entry", "before")
            with original(*args, **values) as seen:
                yield seen
                self.reach("entry", "inside")
            self.reach("entry", "after")

        def perform(tool: Any, context: Any, arguments: dict[str, Any]) -> Any:
            with self.point("perform"):
                self.judge(context.call_id, arguments)
                return done(tool, context, arguments)

        def give_back(run: Run) -> None:
            if not self.died:
                returned(run)

        original, done, returned = journal.entry, performing.perform, leases.give_back
        for name, module in list(sys.modules.items()):
            if name.startswith("agents.runtime.") and getattr(module, "entry", None) is original:
                self.patch.setattr(module, "entry", entry)
        self.patch.setattr(execution, "perform", perform)
        self.patch.setattr(leases, "give_back", give_back)

    def judge(self, call_id: str, arguments: dict[str, Any]) -> None:
        """At the moment of the effect: it is claimed, allowed by both policies or by people, and nothing stands against it."""
        row = ToolCall.objects.select_related("approval").get(pk=call_id)
        run = self.run
        tool = tools_of(run.version.parsed)[row.tool]
        live = Agent.objects.select_related("live_version").get(name=self.agent).live_version
        assert live is not None
        action = as_action(run, tool, arguments, tainted=row.tainted)
        verdicts = [evaluate(action, version.parsed.rules()) for version in (run.version, live)]
        votes = row.approval.votes.count() if row.approval else 0
        allowed = all(
            verdict.outcome == Outcome.ALLOW
            or (
                verdict.outcome == Outcome.REQUIRE and row.approval is not None and votes >= verdict.approvers
            )
            for verdict in verdicts
        )
        wrong = {
            "not claimed": row.status != CallStatus.EXECUTING or row.claim_fence != run.fence,
            "not ours": run.status != RunStatus.RUNNING,
            "other arguments": row.arguments != arguments,
            "other digest": row.digest != call_digest(run, tool, arguments),
            "not allowed": not allowed,
            "not approved": row.approval is not None and row.approval.status != ApprovalStatus.APPROVED,
            "halted": run.version.agent.name in halted(),
            "unwanted": bool(run.requested),
        }
        self.wrong += [f"{row.tool} {row.pk}: {what}" for what, found in wrong.items() if found]


def halted() -> set[str]:
    """The agents that an emergency stop holds."""
    return set(standing_halts().values_list("agent", flat=True))


@pytest.mark.req("RUN-5", "APR-1", "RUN-4")
@pytest.mark.django_db(transaction=True)
def test_whatever_happens_no_effect_slips_past_the_gate_and_every_run_ends() -> None:
    run_state_machine_as_test(
        Gate,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=True,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
