"""Script files: what the simulator answers to which conversation, checked when they are loaded."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from agents.simulator.faults import Fault

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)(:number)?\}")


class ScriptError(ValueError):
    """A script file can't be used; the message names the file, the script and the key."""


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_answers(value: Any) -> Any:
    """Roles that answer by an object: the object is written plainly, without a key of its own."""
    return [_as_answer(entry) for entry in _as_list(value)]


def _as_answer(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    if "cases" in entry:
        return entry | {"cases": [_as_answer(case) for case in _as_list(entry["cases"])]}
    kept = {key: value for key, value in entry.items() if key in ("match", "fault")}
    rest = {key: value for key, value in entry.items() if key not in kept}
    return kept | {"answer": rest} if rest or "fault" not in kept else kept


Pattern = Annotated[str, AfterValidator(_check_pattern)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=False)


class Call(_Strict):
    """A tool call of a turn."""

    name: str
    arguments: dict[str, Any] = {}


class Line(_Strict):
    """What is answered: text, calls, or an object where one is asked."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    answer: dict[str, Any] | None = None
    fault: Fault | None = None


class Case(Line):
    """A line that is played where `match` is found."""

    match: Pattern


class Turn(Line):
    """A line, or `cases` of which the first that matches is played."""

    cases: tuple[Case, ...] = ()

    @model_validator(mode="after")
    def _says_something(self) -> "Turn":
        said = self.text or self.calls or self.answer is not None or self.fault
        if bool(self.cases) == bool(said):
            raise ValueError("give either `cases`, or one of `text`, `calls`, `answer` and `fault`")
        return self


Spoken = Annotated[tuple[Turn, ...], BeforeValidator(_as_list), Field(min_length=1)]
Answered = Annotated[tuple[Turn, ...], BeforeValidator(_as_answers), Field(min_length=1)]


class When(_Strict):
    """Which conversations a script is for."""

    user: Pattern  # searched in the first user message


class Script(_Strict):
    """One conversation, role by role."""

    name: str
    when: When
    capture: dict[str, Pattern] = {}  # searched in all text, the latest match wins
    fault: Fault | None = None  # on every request of the conversation
    planner: Answered | None = None
    executor: Spoken | None = None
    observer: Answered | None = None
    judge: Answered | None = None
    router: Answered | None = None
    coordinator: Answered | None = None
    summariser: Spoken | None = None

    def turns(self, role: str) -> tuple[Turn, ...]:
        """What it has for `role`; empty where it has nothing."""
        return (getattr(self, role) or ()) if role in ROLES else ()

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> "Script":
        known = set(re.compile(self.when.user).groupindex) | set(self.capture)
        for role in ROLES:
            lines = [turn.model_dump(exclude={"fault"}) for turn in self.turns(role)]
            for place, text in _strings(lines, role):
                for name, _ in PLACEHOLDER.findall(text):
                    if name not in known:
                        raise ValueError(
                            f"{place}: nothing captures {{{name}}}; known are: {', '.join(sorted(known)) or 'none'}"
                        )
        return self


ROLES = ("planner", "executor", "observer", "judge", "router", "coordinator", "summariser")


def parse_scripts(text: str, *, source: str) -> tuple[Script, ...]:
    """The scripts written in `text` (YAML, a list). Raises ScriptError."""
    try:
        entries = yaml.safe_load(text) or []
    except yaml.YAMLError as error:
        raise ScriptError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(entries, list):
        raise ScriptError(f"{source}: a script file is a list of scripts, each starting with `- name: ...`.")
    scripts: dict[str, Script] = {}
    for number, entry in enumerate(entries, start=1):
        name = entry.get("name") if isinstance(entry, dict) else None
        label = repr(name) if name else f"number {number}"
        try:
            script = Script.model_validate(entry)
        except ValidationError as error:
            raise ScriptError(f"{source}: script {label}: {_explained(error)}") from None
        if script.name in scripts:
            raise ScriptError(f"{source}: script {label}: name: another script of this file has it.")
        scripts[script.name] = script
    return tuple(scripts.values())


def load_scripts(paths: Iterable[Path]) -> tuple[Script, ...]:
    """The scripts of these files, in order. Raises ScriptError."""
    found: list[Script] = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScriptError(f"{path}: can't be read: {error}") from None
        found += parse_scripts(text, source=str(path))
    return tuple(found)


def example_files() -> list[Path]:
    """The script files of the installed examples."""
    return sorted(EXAMPLES.glob("*/scripts.yaml"))


def _strings(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key != "match":
                yield from _strings(part, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            yield from _strings(part, f"{place}.{number}")


def _explained(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    place = ".".join(str(step) for step in first["loc"])
    return f"{place}: {message}" if place else message
