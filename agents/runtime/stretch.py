"""What a worker holds in memory of a run, from its claim to its next wait: rows as they are stored, kept in step."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from agents.config import AgentConfig
from agents.exceptions import BadConfig
from agents.guardrails.verification import Verification
from agents.models import Run, Step, StepKind, ToolCall
from agents.runtime.decide import Snapshot
from agents.runtime.loops import loop_of
from agents.runtime.verifying import check_answer
from agents.states import CallStatus
from agents.tools.registry import tools_of
from agents.tools.spec import Tool
from approvals.exceptions import Halted
from approvals.halts import require_running
from approvals.models import Approval, Kind
from approvals.states import ApprovalStatus
from traces.models import Span, SpanStatus

MAX_ATTEMPTS = 8  # claims without a committed step, after which a run is given up
UNREADABLE = AgentConfig.model_validate(
    {"purpose": "unreadable", "instructions": "unreadable", "models": {"executor": "scripted:none"}}
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
    halted: str = ""
    broken: str = ""  # why the run can't go on at all
    lap_from: float = field(default_factory=time.monotonic)

    @classmethod
    def load(cls, run: Run) -> "Stretch":
        """Read all that is stored of a claimed run."""
        broken, tools = "", {}
        if run.attempts > MAX_ATTEMPTS:
            broken = f"{MAX_ATTEMPTS} times in a row, work on it stopped before a step was done."
        try:
            config = run.version.parsed
            tools = tools_of(config)
        except (BadConfig, ValidationError) as error:  # a tool is gone, or this release no longer knows a key
            config = run.version.parsed if isinstance(error, BadConfig) else UNREADABLE
            broken = f"The agent's configuration can't be used: {error}"
        return cls(
            run=run,
            config=config,
            tools=tools,
            broken=broken,
            steps=list(run.steps.order_by("seq")),
            calls=list(run.tool_calls.select_related("step").order_by("step__seq", "index")),
        )

    @property
    def agent(self) -> str:
        return self.run.version.agent.name

    @property
    def actor(self) -> str:
        """How this run is named in events."""
        return f"agent:{self.agent}"

    def refresh(self) -> None:
        """Read what others may have changed: requests to the run, emergency stops, decisions of people."""
        self.run.requested = Run.objects.values_list("requested", flat=True).get(pk=self.run.pk)
        try:
            require_running(self.agent)
            self.halted = ""
        except Halted as halt:
            self.halted = str(halt)
        if self.awaits_people:
            self.requests = list(
                Approval.objects.filter(run_id=self.run.pk)
                .select_related("decision__user")
                .order_by("requested_at")
            )

    @property
    def awaits_people(self) -> bool:
        """Whether a request of this run may stand at the gate."""
        waiting = (CallStatus.PENDING_APPROVAL, CallStatus.UNKNOWN)
        asked = bool(self.steps) and bool(self.steps[-1].payload.get("needs_clarification"))
        return asked or any(call.status in waiting for call in self.calls)

    def request_of(self, call: ToolCall) -> Approval | None:
        """The request that decides how `call` goes on: the latest of the kind that its status waits for."""
        kind = Kind.RECONCILE if call.status == CallStatus.UNKNOWN else Kind.ACTION
        mine = [request for request in self.requests if request.call_id == call.pk and request.kind == kind]
        return mine[-1] if mine else None

    def question(self) -> Approval | None:
        """The request that puts the latest plan's question."""
        seq = self.steps[-1].seq if self.steps else 0
        mine = [r for r in self.requests if r.kind == Kind.QUESTION and r.context.get("step") == seq]
        return mine[-1] if mine else None

    def snapshot(self) -> Snapshot:
        """What the decision needs."""
        run, limits = self.run, self.config.limits
        settled = {
            call.pk
            for call in self.calls
            if call.status in (CallStatus.PENDING_APPROVAL, CallStatus.UNKNOWN)
            and (request := self.request_of(call)) is not None
            and request.status != ApprovalStatus.PENDING
        }
        question = self.question()
        return Snapshot(
            pattern=self.config.pattern,
            steps=self.steps,
            calls=self.calls,
            fence=run.fence,
            settled=settled,
            question=question.status if question else "",
            requested=run.requested,
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
            loop=loop_of(self.steps, self.calls, repeats=limits.repeats),
            findings=[finding.text for finding in self.verification().findings],
        )

    def verification(self) -> Verification:
        """What the latest answer states, and which of it nothing that was read bears out."""
        return check_answer(self.run, self.config, self.tools, self.steps, self.calls)

    def call(self, call_id: UUID) -> ToolCall:
        return next(call for call in self.calls if call.pk == call_id)

    def add_step(self, kind: StepKind, payload: dict[str, Any], *, now: datetime, span_id: str = "") -> Step:
        """Add the next step; inside a journal entry."""
        seq = self.steps[-1].seq + 1 if self.steps else 1
        step = Step.objects.create(
            run=self.run, seq=seq, kind=kind, payload=payload, span_id=span_id, created_at=now
        )
        self.steps.append(step)
        return step

    def lap(self) -> int:
        """The run's time at work with what passed since the last lap, in ms."""
        now = time.monotonic()
        passed, self.lap_from = now - self.lap_from, now
        return self.run.work_ms + round(passed * 1000)

    def span(
        self, name: str, operation: str, *, started_at: datetime, ended_at: datetime, **columns: Any
    ) -> Span:
        """A finished span under the run's root."""
        return Span(
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
