"""Making a prompt fit: the last resort, so that no provider ever refuses one for its length."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.config import ModelRef
from agents.providers.base import FailureKind, Message, ModelFailure, ProposedCall, ToolSchema, Usage
from agents.runtime.estimates import CALL, MESSAGE, estimate, estimate_message, estimate_tools
from agents.runtime.window import MARGIN, answer_max, capacity, message_max

LEAST = 40  # tokens of a message that was cut


_TOO_LONG = re.compile(
    r"(prompt|input|request)\b.{0,40}\btoo (long|large)|context.{0,3}(length|window)|too many (input )?tokens",
    re.IGNORECASE,
)


class DoesNotFit(Exception):
    """The prompt is too long for the model's window, whatever is cut; the message says what fills it."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice  # where the window is the model's, not a limit of the agent


@dataclass(frozen=True, slots=True)
class Fitted:
    """Messages that fit, and what they fill."""

    messages: tuple[Message, ...]
    estimated: int  # tokens of the whole prompt, before any correction
    tokens: int  # the same, corrected
    window: int
    max_tokens: int  # that the answer may have

    def use(self, usage: Usage | None = None) -> dict[str, Any]:
        """What is recorded of a call: tokens of the prompt as the provider counted them, or else as estimated."""
        counted = usage.input + usage.cache_read + usage.cache_write if usage else 0
        tokens = counted or self.tokens
        return {
            "tokens": tokens,
            "window": self.window,
            "used": round(tokens / self.window, 4),
            "estimated": self.estimated,
            "counted": counted,
        }


def fit(
    messages: Sequence[Message],
    *,
    model: ModelRef,
    system: str,
    tools: Sequence[ToolSchema] = (),
    output_schema: dict[str, Any] | None = None,
    pinned: int = 1,
    correction: float = 1.0,
) -> Fitted:
    """The messages, with long ones cut in their middle where else the prompt would not fit.

    The first `pinned` messages, the system prompt and the tools stay whole. `correction` multiplies the estimates.
    Raises DoesNotFit.
    """
    room = int(capacity(model) * MARGIN / correction)
    schema = estimate(json.dumps(output_schema)) if output_schema else 0
    fixed = estimate(system) + estimate_tools(tools) + schema
    kept = list(messages[:pinned])
    fixed += sum(estimate_message(message) for message in kept)
    rest, most = list(messages[pinned:]), int(message_max(model) / correction)
    sizes = [estimate_message(message) for message in rest]
    for place, size in enumerate(sizes):
        if size > most:
            rest[place] = _cut(rest[place], most)
            sizes[place] = estimate_message(rest[place])
    if fixed + sum(sizes) > room:
        if fixed + LEAST * bool(rest) > room:
            raise DoesNotFit(
                f"The prompt can't be made to fit: instructions, tools and task alone take about {fixed:,} tokens, and "
                f"{model} has room for {room:,}.",
                "Shorten them, or name a model with a larger window.",
            )
        level = _level(sizes, room - fixed)
        while level >= LEAST and fixed + sum(sizes) > room:
            rest = [_cut(message, level) for message in rest]
            sizes = [estimate_message(message) for message in rest]
            level = level * 9 // 10  # calls can't be cut to any size
        if fixed + sum(sizes) > room:
            raise DoesNotFit(
                f"The prompt can't be made to fit: there are {len(rest)} messages beside the task, and {model} has room "
                f"for {room - fixed:,} tokens of them.",
                "Name a model with a larger window, or let the agent take fewer turns.",
            )
    estimated = fixed + sum(sizes)
    return Fitted(
        messages=(*kept, *rest),
        estimated=estimated,
        tokens=round(estimated * correction),
        window=model.window,
        max_tokens=answer_max(model),
    )


def says_too_long(failure: ModelFailure) -> bool:
    """Whether a provider refused a prompt for its length, in the words that those in use have for it.

    That happens where the window is smaller than the agent's configuration says, or the words have far more tokens
    than any estimate.
    """
    refused = failure.kind == FailureKind.INVALID_REQUEST and failure.status in (400, 413)
    return refused and _TOO_LONG.search(str(failure)) is not None


def _level(sizes: Sequence[int], room: int) -> int:
    """The size to which the largest must be cut so that all together have `room`."""
    left, sizes = room, sorted(sizes)
    for place, size in enumerate(sizes):
        share = left // (len(sizes) - place)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)


def _cut(message: Message, tokens: int) -> Message:
    """The message in at most `tokens`, where words alone can be cut."""
    if estimate_message(message) <= tokens:
        return message
    calls = message.tool_calls
    if calls:
        each = tokens // (2 * len(calls))
        calls = tuple(_cut_call(call, each) for call in calls)
        message = replace(message, tool_calls=calls)
    spent = estimate_message(replace(message, text=""))
    return replace(message, text=shortened(message.text, tokens - spent))


def _cut_call(call: ProposedCall, tokens: int) -> ProposedCall:
    written = call.raw if call.arguments is None else json.dumps(call.arguments, ensure_ascii=False)
    if estimate(written) <= tokens:
        return call
    return replace(call, arguments={"shortened": shortened(written, max(tokens - CALL, MESSAGE))}, raw="")


def shortened(text: str, tokens: int) -> str:
    """`text` with its middle left out, so that it has about `tokens` at most; it says how much is missing."""
    size = estimate(text)
    if size <= tokens:
        return text
    chars = len(text)
    while size > tokens and chars > 0:
        chars = min(int(chars * max(tokens, 0) / size * 0.95), chars - 1) if size else 0
        head, tail = chars - chars // 3, chars // 3
        mark = f" [… {len(text) - chars:,} characters left out …] "
        kept = text[:head] + mark + (text[-tail:] if tail else "")
        size = estimate(kept)
    return kept if size <= tokens else ""
