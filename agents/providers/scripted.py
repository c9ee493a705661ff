"""A provider that plays answers in this process: for tests and benchmarks, where no wire is wanted."""

import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from agents.providers.base import (
    FailureKind,
    Finish,
    ModelFailure,
    ModelRequest,
    ModelResponse,
    ProposedCall,
    Usage,
)

Script = Callable[[ModelRequest], ModelResponse] | Sequence[ModelResponse | ModelFailure]

_numbers = itertools.count(1)


class Scripted:
    """Answers by `script`: a function of the request, or a list that is played once, in order.

    A ModelFailure in the list is raised in its turn. `latency` is waited before each answer (s). What was asked
    is kept in `requests`. Any number of threads may call it.
    """

    name = "scripted"
    simulated = True

    def __init__(self, script: Script, *, latency: float = 0.0) -> None:
        self.requests: list[ModelRequest] = []
        self._respond = script if callable(script) else _played(script)
        self._latency = latency
        self._lock = threading.Lock()

    def complete(
        self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None
    ) -> ModelResponse:
        """Answer `request`, as Provider promises."""
        with self._lock:
            self.requests.append(request)
        if self._latency:
            time.sleep(self._latency)
        response = self._respond(request)
        if on_text is not None and request.output_schema is None:
            for word in re.findall(r"\S+\s*|\s+", response.text):
                on_text(word)
        return response


def _played(answers: Sequence[ModelResponse | ModelFailure]) -> Callable[[ModelRequest], ModelResponse]:
    remaining = iter(answers)
    lock = threading.Lock()

    def respond(request: ModelRequest) -> ModelResponse:
        with lock:
            answer = next(remaining, None)
        if answer is None:
            raise ModelFailure(
                FailureKind.INVALID_REQUEST,
                f"The script has {len(answers)} answers and was asked for one more.",
            )
        if isinstance(answer, ModelFailure):
            raise answer
        return answer

    return respond


def say(text: str) -> ModelResponse:
    """A final text."""
    return ModelResponse(text=text, finish=Finish.STOP, usage=_usage(text), model="scripted")


def call(name: str, /, **arguments: Any) -> ModelResponse:
    """One tool call, with an id of its own."""
    raw = json.dumps(arguments)
    proposed = ProposedCall(id=f"call_{next(_numbers)}", name=name, arguments=arguments, raw=raw)
    return ModelResponse(
        text="", finish=Finish.TOOL_CALLS, usage=_usage(raw), model="scripted", tool_calls=(proposed,)
    )


def answer(parsed: dict[str, Any]) -> ModelResponse:
    """A structured answer, where the request has an `output_schema`."""
    text = json.dumps(parsed)
    return ModelResponse(text=text, finish=Finish.STOP, usage=_usage(text), model="scripted", parsed=parsed)


def together(*parts: ModelResponse) -> ModelResponse:
    """Several texts and calls as one turn: `together(say("I look."), call("a"), call("b"))`."""
    calls = tuple(proposed for part in parts for proposed in part.tool_calls)
    return ModelResponse(
        text=" ".join(part.text for part in parts if part.text),
        finish=Finish.TOOL_CALLS if calls else Finish.STOP,
        usage=Usage(input=100, output=sum(part.usage.output for part in parts)),
        model="scripted",
        tool_calls=calls,
    )


def _usage(text: str) -> Usage:
    return Usage(input=100, output=len(text) // 4 + 1)
