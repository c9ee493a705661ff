"""One call of a model for a run: outside any transaction, and accounted before anything acts on the answer."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from agents.config import ModelRef
from agents.providers.base import FailureKind, Message, ModelFailure, ModelRequest, ModelResponse, ToolSchema
from agents.providers.pricing import cost_usd
from agents.providers.routing import UnknownProvider, resolve
from agents.runtime.journal import give_back_connection
from agents.runtime.stretch import Stretch
from traces.models import SpanStatus
from traces.recorder import Recorded

MAX_TOKENS = 100_000_000  # that one call can have used


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and what must be written down with it."""

    response: ModelResponse
    recorded: Recorded  # the span of the call
    usage: dict[str, Any]  # changes of the run's row


class AskFailed(Exception):
    """The model gave no answer; the span of the attempt is to be written all the same."""

    def __init__(self, failure: ModelFailure, recorded: Recorded) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.recorded = recorded


def ask(
    stretch: Stretch,
    *,
    role: str,
    system: str,
    messages: tuple[Message, ...],
    tools: tuple[ToolSchema, ...] = (),
    output_schema: dict[str, Any] | None = None,
) -> Answer:
    """Have the model of `role` answer. Raises AskFailed."""
    model = stretch.config.models.for_role(role)
    request = ModelRequest(
        model=model.model,
        system=system,
        messages=messages,
        tools=tools,
        output_schema=output_schema,
        max_tokens=model.max_tokens,
        timeout=model.timeout,
        metadata={
            "role": role,
            "run": str(stretch.run.pk),
            "attempt": str(stretch.run.attempts or 1),
        },
    )
    give_back_connection()
    started_at, simulated = timezone.now(), False
    try:
        provider = resolve(model.provider, base_url=model.base_url)
        simulated = provider.simulated
        response = provider.complete(request)
        if response.usage.total > MAX_TOKENS:
            raise ModelFailure(FailureKind.MALFORMED, "the answer claims an impossible number of tokens")
    except (ModelFailure, UnknownProvider) as error:
        failure = (
            error
            if isinstance(error, ModelFailure)
            else ModelFailure(FailureKind.INVALID_REQUEST, str(error))
        )
        recorded = _record(stretch, model, request, role, started_at, simulated=simulated)
        recorded.span.status = SpanStatus.ERROR
        recorded.span.error_type = failure.kind
        recorded.span.preview = str(failure)
        recorded.output = {"error": failure.kind, "message": str(failure)}
        raise AskFailed(failure, recorded) from error
    recorded = _record(stretch, model, request, role, started_at, simulated=simulated)
    cost = cost_usd(model.provider, model.model, response.usage)
    _add_response(recorded, response, cost)
    run, usage = stretch.run, response.usage
    return Answer(
        response=response,
        recorded=recorded,
        usage={
            "input_tokens": run.input_tokens + usage.input,
            "output_tokens": run.output_tokens + usage.output,
            "cache_read_tokens": run.cache_read_tokens + usage.cache_read,
            "cache_write_tokens": run.cache_write_tokens + usage.cache_write,
            "cost_usd": run.cost_usd + (cost or Decimal(0)),
            "simulated": run.simulated or simulated,
            "work_ms": stretch.lap(),
        },
    )


def _record(
    stretch: Stretch,
    model: ModelRef,
    request: ModelRequest,
    role: str,
    started_at: datetime,
    *,
    simulated: bool,
) -> Recorded:
    span = stretch.span(
        f"chat {model.model}",
        "chat",
        started_at=started_at,
        ended_at=timezone.now(),
        provider=model.provider,
        model=model.model,
        simulated=simulated,
        attributes={"gatehouse.role": role, "gen_ai.request.max_tokens": request.max_tokens},
    )
    body = {
        "system_instructions": request.system,
        "messages": [_message(message) for message in request.messages],
        "tools": [tool.name for tool in request.tools],
    }
    return Recorded(span=span, input=body)


def _message(message: Message) -> dict[str, Any]:
    stored: dict[str, Any] = {"role": message.role, "text": message.text}
    if message.tool_calls:
        stored["tool_calls"] = [
            {"name": call.name, "arguments": call.arguments} for call in message.tool_calls
        ]
    return stored


def _add_response(recorded: Recorded, response: ModelResponse, cost: Decimal | None) -> None:
    span = recorded.span
    span.input_tokens, span.output_tokens = response.usage.input, response.usage.output
    span.cache_read_tokens, span.cache_write_tokens = response.usage.cache_read, response.usage.cache_write
    span.cost_usd = cost
    span.preview = response.text or ", ".join(call.name for call in response.tool_calls)
    span.attributes |= {
        "gen_ai.response.model": response.model,
        "gen_ai.response.id": response.response_id,
        "gen_ai.response.finish_reasons": [response.finish],
    }
    recorded.output = {
        "text": response.text,
        "tool_calls": [{"name": call.name, "arguments": call.arguments} for call in response.tool_calls],
        "parsed": response.parsed,
        "finish": response.finish,
    }
