"""One call of one model endpoint for a run, accounted whatever came of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents.config import Endpoint
from agents.models import Run
from agents.providers import breaker
from agents.providers.base import FailureKind, Message, ModelFailure, ModelRequest, ModelResponse, Usage
from agents.providers.pricing import cost_usd
from agents.providers.routing import UnknownProvider, host_of, resolve
from agents.runtime.drafts import Draft
from agents.runtime.journal import give_back_connection, write
from agents.runtime.stretch import Stretch
from traces.models import SpanStatus
from traces.recorder import ANSWERED, CONTINUES, Recorded, answer_as_message, record

MAX_TOKENS = 100_000_000  # that one call can have used
SLACK = 0.1  # s by which a client may give up early


@dataclass(slots=True)
class Tally:
    """What all attempts at one answer used, to be written with it."""

    spans: list[Recorded] = field(default_factory=list)
    used: Usage = field(default_factory=Usage)
    cost: Decimal = Decimal(0)
    simulated: bool = False

    @property
    def failed_ms(self) -> float:
        """How long the attempts took that brought no answer."""
        failed = (recorded.span for recorded in self.spans if recorded.span.status == SpanStatus.ERROR)
        return sum(span.duration_ms or 0.0 for span in failed)

    def changes(self, run: Run) -> dict[str, Any]:
        """Changes of the run's row."""
        return {
            "input_tokens": run.input_tokens + self.used.input,
            "output_tokens": run.output_tokens + self.used.output,
            "cache_read_tokens": run.cache_read_tokens + self.used.cache_read,
            "cache_write_tokens": run.cache_write_tokens + self.used.cache_write,
            "cost_usd": run.cost_usd + self.cost,
            "simulated": run.simulated or self.simulated,
        }


@dataclass(frozen=True, slots=True)
class Heard:
    """A response, and the span of the call that brought it."""

    response: ModelResponse
    recorded: Recorded
    context: dict[str, Any] = field(default_factory=dict)  # what the prompt filled, see `fitting`


def attempt(
    stretch: Stretch,
    tally: Tally,
    role: str,
    endpoint: Endpoint,
    request: ModelRequest,
    place: int,
    *,
    until: float | None = None,
) -> Heard:
    """Ask one endpoint, the `place`th (from 0) of its role; the span goes to `tally`. Raises ModelFailure.

    `until` (s, of the monotonic clock) is when the run's own time is up, where that is before the endpoint's: no
    answer until then says nothing about it.
    """
    request = replace(request, model=endpoint.model)
    draft = Draft(stretch.run.pk, step=stretch.steps[-1].seq + 1 if stretch.steps else 1)
    recorded = _begun(stretch, endpoint, request, role, place)
    tally.spans.append(recorded)
    write(stretch.run)
    give_back_connection()
    try:
        host = host_of(endpoint.provider, base_url=endpoint.base_url)
        if host:
            recorded.span.attributes["server.address"] = host
        provider = resolve(endpoint.provider, base_url=endpoint.base_url)
        recorded.span.simulated = provider.simulated
        with _admitted(f"{endpoint} at {host}" if host else "", seconds=request.timeout, until=until):
            response = provider.complete(request, on_text=draft.add)
            if response.usage.total > MAX_TOKENS:
                raise ModelFailure(
                    FailureKind.MALFORMED, f"{endpoint} claims to have used an impossible number of tokens."
                )
    except (ModelFailure, UnknownProvider) as error:
        failure = error if isinstance(error, ModelFailure) else _unknown(error)
        draft.discard()
        _end_failed(recorded, failure)
        raise failure from None
    cost = cost_usd(endpoint.provider, endpoint.model, response.usage)
    _end(recorded, response, cost)
    tally.used += response.usage
    tally.cost += cost or Decimal(0)
    tally.simulated |= provider.simulated
    return Heard(response, recorded)


def is_late(failure: ModelFailure, until: float | None) -> bool:
    """Whether the call was cut off because the run's time was up."""
    return until is not None and failure.kind == FailureKind.TIMEOUT and time.monotonic() > until - SLACK


@contextmanager
def _admitted(endpoint: str, *, seconds: float, until: float | None) -> Iterator[None]:
    """Make a call if the endpoint's breaker lets it out, and tell that what came of it. Raises ModelFailure.

    Answers that come from this process (no endpoint) have no breaker.
    """
    if not endpoint:
        yield
        return
    admission = breaker.admit(endpoint, seconds=seconds)
    if admission.kind == "open":
        raise ModelFailure(
            FailureKind.BREAKER_OPEN,
            f"{endpoint} failed too often lately and is left alone for {admission.wait:.0f} s.",
            retry_after=admission.wait,
        )
    try:
        yield
    except ModelFailure as failure:
        if is_late(failure, until):
            raise
        _tell(endpoint, breaker.report(endpoint, admission, failure), str(failure))
        raise
    _tell(endpoint, breaker.report(endpoint, admission, None), "It answers again.")


def _tell(endpoint: str, change: str, reason: str) -> None:
    """Record that a breaker opened or closed: it concerns all runs, so it belongs to none."""
    if change:
        with transaction.atomic():
            data = {"endpoint": endpoint, "reason": reason}
            record(f"breaker.{change}", actor="system", object_id=endpoint[:64], data=data)


def _unknown(error: UnknownProvider) -> ModelFailure:
    return ModelFailure(FailureKind.INVALID_REQUEST, str(error))


def _begun(stretch: Stretch, endpoint: Endpoint, request: ModelRequest, role: str, place: int) -> Recorded:
    now = timezone.now()
    attributes = {"gatehouse.role": role, "gen_ai.request.max_tokens": request.max_tokens}
    if place:
        attributes["gatehouse.fallback"] = place
    span = stretch.span(
        f"chat {endpoint.model}",
        "chat",
        started_at=now,
        ended_at=now,
        provider=endpoint.provider,
        model=endpoint.model,
        attributes=attributes,
    )
    recorded = Recorded(span=span)
    recorded.input = _asked(stretch, request, role, recorded)
    return recorded


def _asked(stretch: Stretch, request: ModelRequest, role: str, recorded: Recorded) -> dict[str, Any]:
    """The prompt as it is traced: what an earlier one of this stretch began with is there, and only named here.

    So is what that one was answered, where it comes next.
    """
    key = (role, request.system, tuple(tool.name for tool in request.tools))
    before = stretch.prompts.get(key)
    stretch.prompts[key] = (recorded, request.messages)
    if before is not None and request.messages[: len(before[1])] == before[1]:
        added = [_message(message) for message in request.messages[len(before[1]) :]]
        continued: dict[str, Any] = {CONTINUES: before[0].span.pk}
        if added and added[0] == answer_as_message(before[0].output):
            continued[ANSWERED], added = True, added[1:]
        return continued | {"messages": added}
    return {
        "system_instructions": request.system,
        "messages": [_message(message) for message in request.messages],
        "tools": [tool.name for tool in request.tools],
    }


def _message(message: Message) -> dict[str, Any]:
    stored: dict[str, Any] = {"role": message.role, "text": message.text}
    if message.tool_calls:
        stored["tool_calls"] = [
            {"name": call.name, "arguments": call.arguments} for call in message.tool_calls
        ]
    return stored


def _end_failed(recorded: Recorded, failure: ModelFailure) -> None:
    span = recorded.span
    span.ended_at, span.status = timezone.now(), SpanStatus.ERROR
    span.error_type, span.preview = failure.kind, str(failure)
    recorded.output = {"error": failure.kind, "message": str(failure)}


def _end(recorded: Recorded, response: ModelResponse, cost: Decimal | None) -> None:
    span = recorded.span
    span.ended_at = timezone.now()
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
