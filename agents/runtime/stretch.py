"""What a worker holds in memory of a run, from its claim to its next wait: rows as they are stored, kept in step."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone
from pydantic import ValidationError

from agents.config import AgentConfig
from agents.exceptions import BadConfig
from agents.guardrails.verification import Verification
from agents.memory.stored_results import granted
from agents.models import Run, Steering, Step, StepKind, ToolCall
from agents.providers.base import Message
from agents.runtime import recalled
from agents.runtime.budgets import limits_of
from agents.runtime.decide import Snapshot
from agents.runtime.decide.progress import latest_plan
from agents.runtime.journal import add, write
from agents.runtime.lineage import STARTERS, agents_above, too_deep
from agents.runtime.loops import loop_of
from agents.runtime.rehearsing import Script, rehearsed_config, script_of, stand_ins
from agents.runtime.verifying import check_answer
from agents.runtime.window import fold_until
from agents.states import CallStatus
from agents.tools.registry import tools_of
from agents.tools.spec import Tool
from approvals.exceptions import Halted
from approvals.halts import require_running, stopped_tools
from approvals.models import Approval, Decision, Kind
from approvals.states import ApprovalStatus
from traces.models import Span, SpanStatus
from traces.recorder import Recorded
from traces.rows import new
from traces.statement import columns_of, fetch, read

MAX_ATTEMPTS = 8  # claims without a committed step, after which a run is given up
DOING = (StepKind.MODEL, StepKind.ANSWER)  # after which nothing is asked about a plan any more
ASIDE = (StepKind.RECALL, StepKind.SUMMARY)  # they change what a model is shown, not what is to be done
PLANNED = "plan_execute"
DECISIONS = """
SELECT {columns}, username FROM approvals_decision JOIN auth_user ON auth_user.id = user_id
WHERE approval_id = ANY ($1)
"""
UNREADABLE = AgentConfig.model_validate(
    {"purpose": "unreadable", "instructions": "unreadable", "models": {"executor": "scripted:unreadable"}}
)


@dataclass(slots=True)
class Stretch:
    """A claimed run with its steps, calls and requests. Only the holder of the lease makes one."""

    run: Run
    config: AgentConfig
    tools: dict[str, Tool]
    steps: list[Step]
    calls: list[ToolCall]
    requests: list[Approval] = field(default_factory=list)  # of this run, oldest first
    knows_requests: bool = False
    children: list[Run] = field(default_factory=list)  # runs that it started
    steerings: list[Steering] = field(default_factory=list)  # of its plan, not taken in yet
    above: tuple[str, ...] = ()  # agents of the runs that it works for
    halted: str = ""
    stopped_tools: frozenset[str] = frozenset()  # by an emergency stop of theirs
    script: Script | None = None  # of a rehearsal
    broken: str = ""  # why the run can't go on at all
    # By role, instructions and tools: the span of the latest prompt, and its messages.
    prompts: dict[Any, tuple[Recorded, tuple[Message, ...]]] = field(default_factory=dict)
    lap_from: float = field(default_factory=time.monotonic)

    @classmethod
    def load(cls, run: Run) -> "Stretch":
        """Read all that is stored of a claimed run."""
        broken, tools, script = "", {}, None
        steps: list[Step] = []
        calls: list[ToolCall] = []
        if run.fence > 1:  # else nobody has held it before, and there are none
            steps = read(Step, "run_id = $1 ORDER BY seq", run.pk)
            calls = read(ToolCall, "run_id = $1", run.pk)
            step_of = {step.pk: step for step in steps}
            for call in calls:
                call.run, call.step = run, step_of[call.step_id]
            calls.sort(key=lambda call: (call.step.seq, call.index))
        if run.attempts > MAX_ATTEMPTS:
            broken = f"{MAX_ATTEMPTS} times in a row, work on it stopped before a step was done."
        try:
            config = run.version.parsed
            found = tools_of(config)
            if run.rehearsal:
                script = script_of(run)
                config = rehearsed_config(config, script.rehearsal.changes)
                found = stand_ins(found, script, calls)
            tools = found | granted(found, calls)
        except (BadConfig, ValidationError) as error:  # a tool is gone, or this release no longer knows a key
            config = run.version.parsed if isinstance(error, BadConfig) else UNREADABLE
            broken = f"The agent's configuration can't be used: {error}"
        return cls(
            steerings=list(run.steerings.filter(taken_at=None))
            if steps and config.pattern == PLANNED
            else [],
            above=agents_above(run) if run.parent_id else (),
            run=run,
            config=config,
            tools=tools,
            script=script,
            broken=broken or too_deep(config, run),
            steps=steps,
            calls=calls,
            knows_requests=run.fence == 1,
        )

    @property
    def agent(self) -> str:
        return self.run.version.agent.name

    @property
    def must_look(self) -> bool:
        """Whether a stop, or a person's wish, may stand that was not looked at yet: that comes first."""
        return bool(self.run.requested) or (self.run.halted and not self.stopped_tools)

    @property
    def is_direct(self) -> bool:
        """Whether it makes one call that was given, and asks no model."""
        return bool(self.steps) and self.steps[0].kind == StepKind.CALL

    @property
    def actor(self) -> str:
        """How this run is named in events."""
        return f"agent:{self.agent}"

    def refresh(self) -> None:
        """Read what others may have changed and the last write did not tell: stops, and decisions of people."""
        self.halted, self.stopped_tools = "", frozenset()
        if self.run.halted or self.above:
            self.stopped_tools = stopped_tools(self.agent, *self.above)
            try:
                for agent in (self.agent, *self.above):
                    require_running(agent)
            except Halted as halt:
                self.halted = str(halt)
            else:
                self.run.halted = bool(self.stopped_tools)
        if self.config.pattern in STARTERS:
            self.children = list(self.run.children.order_by("part"))
        if self.run.requested == "steer":
            self.steerings = list(self.run.steerings.filter(taken_at=None))
        if self.awaits_people and not self.knows_requests:
            self._read_requests()

    def _read_requests(self) -> None:
        """What people were asked for this run, with their decisions."""
        write(self.run)  # what was asked a moment ago is there, too
        self.requests = read(Approval, "run_id = $1 ORDER BY requested_at", self.run.pk)
        request_of = {request.pk: request for request in self.requests}
        by_people = Approval._meta.get_field("decision")
        for request in self.requests:
            by_people.set_cached_value(request, None)
        decided = DECISIONS.format(columns=columns_of(Decision))
        for decision in fetch(Decision, decided, list(request_of), also=("decided_by",)):
            decision.user = User(pk=decision.user_id, username=vars(decision).pop("decided_by"))
            decision.approval = request_of[decision.approval_id]  # known from both sides
        self.knows_requests = True

    def look_again(self) -> None:
        """Read anew what others may have changed, after a write found that they did."""
        wanted = Run.objects.values_list("requested", "version__agent__live_version").get(pk=self.run.pk)
        self.run.requested, self.run.live_version_id = wanted
        self.run.halted = self.run.spoken_to = True  # or not: who needs to know finds out
        self.knows_requests = False

    @property
    def awaits_people(self) -> bool:
        """Whether a request of this run may stand at the gate."""
        waiting = (CallStatus.PENDING_APPROVAL, CallStatus.UNKNOWN)
        at = latest_plan(self.steps)
        plan = self.steps[at].payload if at is not None else {}
        unapproved = self.config.plan.approve and not plan.get("approved_by")
        asked = plan and not any(step.kind in DOING for step in self.steps[at:])
        return bool(asked and (plan.get("needs_clarification") or unapproved)) or any(
            call.status in waiting for call in self.calls
        )

    def request_of(self, call: ToolCall) -> Approval | None:
        """The request that decides how `call` goes on: the latest of the kind that its status waits for."""
        kind = Kind.RECONCILE if call.status == CallStatus.UNKNOWN else Kind.ACTION
        mine = [request for request in self.requests if request.call_id == call.pk and request.kind == kind]
        return mine[-1] if mine else None

    def question(self) -> Approval | None:
        """The request about the latest plan: what the planner asks, or whether the plan may be carried out."""
        at = latest_plan(self.steps)
        seq = self.steps[at].seq if at is not None else 0
        mine = [r for r in self.requests if r.call_id is None and r.context.get("step") == seq]
        return mine[-1] if mine else None

    def snapshot(self) -> Snapshot:
        """What the decision needs."""
        run, limits = self.run, limits_of(self.config, self.run)
        settled = {
            call.pk
            for call in self.calls
            if call.status in (CallStatus.PENDING_APPROVAL, CallStatus.UNKNOWN)
            and (request := self.request_of(call)) is not None
            and request.status != ApprovalStatus.PENDING
        }
        question = self.question()
        answered_before, given_answer = recalled.given(self.steps)
        return Snapshot(
            pattern="direct" if self.is_direct else self.config.pattern,
            steps=[step for step in self.steps if step.kind not in ASIDE],
            calls=self.calls,
            fence=run.fence,
            settled=settled,
            later=self.later(),
            question=question.status if question else "",
            children=self.children,
            links=len(self.config.chain),
            fast_path=self.config.fast_path is not None,
            approve_plan=self.config.plan.approve,
            steered=bool(self.steerings),
            success=run.success is not None and self.config.pattern != "router",
            requested="" if run.requested == "steer" else run.requested,
            halted=self.halted,
            broken=self.broken,
            turns=run.turns,
            tokens=run.total_tokens,
            cost_usd=float(run.cost_usd),
            work_seconds=run.work_ms / 1000,
            max_turns=limits.turns,
            max_tokens=limits.tokens,
            max_cost_usd=limits.cost_usd,
            max_seconds=limits.seconds,
            confidence_min=self.config.guardrails.confidence_min,
            recall_due=recalled.is_due(run, self.config, self.steps),
            answered_before=answered_before,
            given_answer=given_answer,
            overfull=not self.is_direct and bool(fold_until(self.config, self.steps, self.calls)),
            loop=""
            if self.is_direct
            else loop_of(
                self.steps,
                self.calls,
                repeats=limits.repeats,
                polling=[name for name, tool in self.tools.items() if tool.polling],
            ),
            findings=[finding.text for finding in self.verification().findings],
        )

    def verification(self) -> Verification:
        """What the latest answer states, and which of it nothing that was read bears out."""
        return check_answer(self.run, self.config, self.tools, self.steps, self.calls)

    def later(self) -> set[UUID]:
        """The approved calls that are to be tried again, and not yet; and those whose tool is stopped."""
        now = timezone.now()
        approved = (call for call in self.calls if call.status == CallStatus.APPROVED)
        return {
            call.pk
            for call in approved
            if (call.retry_at and call.retry_at > now) or call.tool in self.stopped_tools
        }

    def call(self, call_id: UUID) -> ToolCall:
        return next(call for call in self.calls if call.pk == call_id)

    def add_step(self, kind: StepKind, payload: dict[str, Any], *, now: datetime, span_id: str = "") -> Step:
        """Add the next step; inside a journal entry."""
        seq = self.steps[-1].seq + 1 if self.steps else 1
        step = new(Step, run=self.run, seq=seq, kind=kind, payload=payload, span_id=span_id, created_at=now)
        add(step)
        self.steps.append(step)
        return step

    @property
    def worked(self) -> float:
        """The run's time at work so far, in s."""
        return self.run.work_ms / 1000 + time.monotonic() - self.lap_from

    def lap(self) -> int:
        """The run's time at work with what passed since the last lap, in ms."""
        now = time.monotonic()
        passed, self.lap_from = now - self.lap_from, now
        return self.run.work_ms + round(passed * 1000)

    def span(
        self, name: str, operation: str, *, started_at: datetime, ended_at: datetime, **columns: Any
    ) -> Span:
        """A finished span under the run's root."""
        return new(
            Span,
            trace_id=self.run.trace_id,
            parent_id=self.run.root_span_id,
            name=name,
            operation=operation,
            started_at=started_at,
            ended_at=ended_at,
            status=columns.pop("status", SpanStatus.OK),
            run_id=self.run.pk,
            agent=self.agent,
            agent_version=self.run.version.number,
            **columns,
        )
