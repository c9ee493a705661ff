"""One question to a model for a run: outside any transaction, and accounted before anything acts on the answer.

Where an endpoint can't answer, the next of `fallback` is asked at once. Only when none could does the run wait for its
next try (`ending.retry_or_fail`), without a worker. Each attempt is a span, and its tokens count, whatever came of it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from agents.config import ModelRef
from agents.models import Run
from agents.providers.base import (
    FailureKind,
    Finish,
    Message,
    ModelFailure,
    ModelRequest,
    ModelResponse,
    ToolSchema,
)
from agents.runtime.attempts import Heard, Tally, attempt, is_late
from agents.runtime.budgets import limits_of
from agents.runtime.decide.limits import exceeded
from agents.runtime.endpoints import in_order
from agents.runtime.fitting import DoesNotFit, Fitted, fit, says_too_long
from agents.runtime.prose import written_call
from agents.runtime.stretch import Stretch
from agents.runtime.window import correction
from traces.recorder import Recorded

SHORTER_TIMES = (2, 4, 8)  # by how much shorter a prompt is tried that was refused for its length
LEAST_SECONDS = 0.05  # that a call is given, however little is left
SHORT_WAIT = 2.0  # s; an endpoint that asks for no more is waited for rather than replaced, once
WRONG_IN_ITSELF = frozenset({400, 413, 422})  # HTTP: no other endpoint would take that request either
BY_INTERFACE = (
    "Your last answer wrote out a tool call as text, so nothing was called. Make the call as a tool call, "
    "or give your answer in words."
)
SHORTER = "Your last answer was cut off at its length limit. Give it again, whole and much shorter."


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and what must be written down with it."""

    response: ModelResponse
    recorded: Recorded  # the span of the call that brought the answer
    spans: Sequence[Recorded]  # of all attempts, this one too: to be written
    usage: dict[str, Any]  # changes of the run's row
    context: dict[str, Any]  # what the prompt filled: tokens, window, used (0 to 1), estimated, counted

    @classmethod
    def of(cls, stretch: Stretch, heard: Heard, tally: Tally) -> "Answer":
        """The answer with all that led to it."""
        usage = tally.changes(stretch.run) | {"work_ms": stretch.lap()}
        return cls(heard.response, heard.recorded, tally.spans, usage, heard.context)


class AskFailed(Exception):
    """No model gave an answer that can be used; the spans of the attempts are to be written all the same.

    With `hand_over`, models did answer, or can't be asked at all: asking again would not help, and a person takes
    over. With `over_limit`, because a step would pass what it may use.
    """

    def __init__(
        self,
        failure: ModelFailure,
        run: Run,
        tally: Tally,
        *,
        role: str,
        hand_over: bool = False,
        over_limit: bool = False,
    ) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.spans: Sequence[Recorded] = tally.spans
        self.usage = tally.changes(run)  # changes of the run's row
        self.waited_ms = 0 if over_limit else round(tally.failed_ms)
        self.role = role
        self.hand_over = hand_over
        self.over_limit = over_limit


def ask(
    stretch: Stretch,
    *,
    role: str,
    system: str,
    messages: tuple[Message, ...],
    tools: tuple[ToolSchema, ...] = (),
    pinned: int = 1,
) -> Answer:
    """Have the model of `role` answer in words and calls. Raises AskFailed.

    An answer may still have been cut off (`Finish.LENGTH`), or be a refusal (`Finish.REFUSED`): then `hear` has
    tried what can be tried, and a person must take over.
    """
    tally = Tally()
    heard = hear(stretch, tally, role=role, system=system, messages=messages, tools=tools, pinned=pinned)
    return Answer.of(stretch, heard, tally)


def hear(
    stretch: Stretch,
    tally: Tally,
    *,
    role: str,
    system: str,
    messages: tuple[Message, ...],
    tools: tuple[ToolSchema, ...] = (),
    output_schema: dict[str, Any] | None = None,
    pinned: int = 1,
) -> Heard:
    """What the model of `role` responds, or one of its fallbacks; `tally` grows by all attempts. Raises AskFailed.

    An answer that was cut off is asked for once more, shorter and with twice the room, and one that writes out a
    call as text is asked to make it; what then comes is returned, better or not. A refusal is put once to the next
    fallback; if that refuses or fails too, the refusal stands. Messages are cut where else the prompt would not fit, but for the first `pinned`.
    """
    model = stretch.config.model_of(role)
    corrected = correction(stretch.steps) if role == "executor" else 1.0
    fitted_to = partial(
        fit, messages, model=model, system=system, tools=tools, output_schema=output_schema, pinned=pinned
    )
    try:
        fitted = fitted_to(correction=corrected)
    except DoesNotFit as error:
        limit = stretch.config.limits.step_tokens
        too_large = model.window == limit
        fact = str(error).replace(str(model), "the limit") if too_large else str(error)
        words = (
            f"Its next step alone would use more than its {limit:,} tokens: {fact} Raise limits.step_tokens."
            if too_large
            else f"{fact} {error.advice}"
        )
        failure = ModelFailure(FailureKind.INVALID_REQUEST, words)
        raise AskFailed(
            failure, stretch.run, tally, role=role, hand_over=True, over_limit=too_large
        ) from error
    request = ModelRequest(
        model=model.model,
        system=system,
        messages=fitted.messages,
        tools=tools,
        output_schema=output_schema,
        max_tokens=fitted.max_tokens,
        timeout=model.timeout,
        stall=model.stall,
        metadata={
            "role": role,
            "run": str(stretch.run.pk),
            "attempt": str(stretch.run.attempts or 1),
        },
    )
    try:
        heard = _first_answer(stretch, tally, role, model, request)
    except AskFailed as failed:
        if not says_too_long(failed.failure):
            raise
        heard, fitted = _ask_shorter(stretch, tally, role, model, request, failed, fitted_to, corrected)
        request = replace(request, messages=fitted.messages)
    if told := _what_is_amiss(heard.response, tools):
        again = replace(request, messages=(*request.messages, Message(role="user", text=told)))
        if heard.response.finish is Finish.LENGTH:
            room = min(2 * request.max_tokens, model.window - fitted.tokens)
            again = replace(again, max_tokens=max(request.max_tokens, room))
        try:
            heard = _first_answer(stretch, tally, role, model, again)
        except AskFailed:
            pass  # the first one stands
    heard.context.update(fitted.use(heard.response.usage))
    heard.recorded.span.attributes |= {
        f"gatehouse.context.{name}": heard.context[name] for name in ("used", "tokens", "window")
    }
    return heard


def _ask_shorter(
    stretch: Stretch,
    tally: Tally,
    role: str,
    model: ModelRef,
    request: ModelRequest,
    failed: AskFailed,
    fitted_to: Callable[..., Fitted],
    corrected: float,
) -> tuple[Heard, Fitted]:
    """The answer to fewer words, after a prompt was refused for its length: the model knows its window best."""
    for times in SHORTER_TIMES:
        try:
            fitted = fitted_to(correction=times * corrected)
            heard = _first_answer(stretch, tally, role, model, replace(request, messages=fitted.messages))
        except DoesNotFit:
            break
        except AskFailed as again:
            if not says_too_long(again.failure):
                raise
            failed = again
        else:
            return heard, fitted
    raise failed


def _first_answer(stretch: Stretch, tally: Tally, role: str, model: ModelRef, request: ModelRequest) -> Heard:
    """The answer of the first endpoint that gives one: as configured, or the cheapest first where money is short."""
    failures: list[ModelFailure] = []
    refused: Heard | None = None
    late = False
    spent = float(stretch.run.cost_usd + tally.cost)
    limits = limits_of(stretch.config, stretch.run)
    for number, (place, endpoint) in enumerate(in_order(model, spent=spent, limit=limits.cost_usd)):
        left = max(limits.seconds - stretch.worked + tally.failed_ms / 1000, LEAST_SECONDS)
        until = time.monotonic() + left if left < request.timeout else None
        hurried = replace(request, timeout=left) if until else request
        try:
            heard = attempt(stretch, tally, role, endpoint, hurried, place, until=until)
        except ModelFailure as failure:
            failures.append(failure)
            late = late or is_late(failure, until)
            if refused is not None or _asks_no_other(failure, first=number == 0, run=stretch.run):
                break
            continue
        if heard.response.finish is not Finish.REFUSED or refused is not None:
            return heard
        refused = heard
    if refused is not None:
        return refused
    if late:
        end = ModelFailure(FailureKind.TIMEOUT, exceeded(f"its {limits.seconds:g} s of work").reason)
        raise AskFailed(end, stretch.run, tally, role=role, hand_over=True, over_limit=True)
    raise AskFailed(_together(failures), stretch.run, tally, role=role)


def _what_is_amiss(response: ModelResponse, tools: tuple[ToolSchema, ...]) -> str:
    """What the model is told where asking once more may mend its answer; empty: nothing."""
    if response.finish is Finish.LENGTH:
        return SHORTER
    if response.tool_calls or not written_call(response.text, [tool.name for tool in tools]):
        return ""
    return BY_INTERFACE


def _asks_no_other(failure: ModelFailure, *, first: bool, run: Run) -> bool:
    """Whether another endpoint is of no use, or this one is worth a short wait."""
    if not first:
        return False
    if failure.kind == FailureKind.INVALID_REQUEST:
        return failure.status in WRONG_IN_ITSELF
    soon = failure.retry_after is not None and failure.retry_after <= SHORT_WAIT
    return failure.kind == FailureKind.RATE_LIMIT and soon and run.attempts <= 1


def _together(failures: list[ModelFailure]) -> ModelFailure:
    """The failures of all endpoints as one: worth another try, and when, if one of them is."""
    if len(failures) == 1:
        return failures[0]
    again = [failure for failure in failures if failure.retryable]
    waits = [failure.retry_after or 0.0 for failure in again]
    words = "; ".join(str(failure).rstrip(".") for failure in failures)
    return ModelFailure((again or failures)[0].kind, f"{words}.", retry_after=min(waits, default=0.0) or None)
