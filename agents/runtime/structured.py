"""An answer of a model as an object that fits a schema."""

import json
from typing import Any

from jsonschema import Draft202012Validator

from agents.providers.base import FailureKind, Finish, Message, ModelFailure
from agents.runtime.asking import Answer, AskFailed, hear
from agents.runtime.attempts import Heard, Tally
from agents.runtime.stretch import Stretch
from traces.models import SpanStatus

REPAIRS = 2
ERRORS_TOLD = 5
ERROR_CHARS = 200  # of each: it may quote the answer


def ask_structured(
    stretch: Stretch,
    *,
    role: str,
    system: str,
    messages: tuple[Message, ...],
    schema: dict[str, Any],
    pinned: int = 1,
) -> tuple[Answer, dict[str, Any]]:
    """Have the model of `role` answer with an object that fits `schema` (of an object).

    Where it does not fit, the model is told what is wrong, with its own answer, at most REPAIRS times; tokens and
    spans of all tries are in the Answer. Raises AskFailed: as `ask` does, and with `hand_over` where no answer
    fitted, or one was refused, or cut off twice.
    """
    tally, asked = Tally(), messages
    for _ in range(1 + REPAIRS):
        heard = hear(
            stretch, tally, role=role, system=system, messages=asked, output_schema=schema, pinned=pinned
        )
        finish, parsed = heard.response.finish, heard.response.parsed
        if finish in UNUSABLE:
            failure = ModelFailure(FailureKind.MALFORMED, f"The {role} {UNUSABLE[finish]}")
            raise AskFailed(failure, stretch.run, tally, role=role, hand_over=True)
        errors = _errors(parsed, schema)
        if parsed is not None and not errors:
            return Answer.of(stretch, heard, tally), dict(parsed)
        _mark(heard)
        asked = (*asked, *_complaint(heard, errors))
    words = f"The {role} gave no answer that fits what was asked, even after {REPAIRS} repairs: {errors[0]}"
    failure = ModelFailure(FailureKind.MALFORMED, words)
    raise AskFailed(failure, stretch.run, tally, role=role, hand_over=True)


UNUSABLE = {
    Finish.REFUSED: "declined to answer.",
    Finish.LENGTH: "was cut off at its length limit, and once more when asked for less.",
}


def _errors(parsed: dict[str, Any] | None, schema: dict[str, Any]) -> list[str]:
    """What is wrong, in words, with its place."""
    if parsed is None:
        return ["it is no JSON object"]
    found = Draft202012Validator(schema).iter_errors(parsed)
    return [
        f"{error.json_path.removeprefix('$.')}: {error.message[:ERROR_CHARS]}"
        for error, _ in zip(found, range(ERRORS_TOLD), strict=False)
    ]


def _complaint(heard: Heard, errors: list[str]) -> tuple[Message, Message]:
    said = heard.response.text or json.dumps(heard.response.parsed)
    told = "\n".join(f"- {error}" for error in errors)
    return (
        Message(role="assistant", text=said),
        Message(role="user", text=f"That answer can't be used:\n{told}\nGive it again, whole and corrected."),
    )


def _mark(heard: Heard) -> None:
    heard.recorded.span.status = SpanStatus.ERROR
    heard.recorded.span.error_type = FailureKind.MALFORMED
