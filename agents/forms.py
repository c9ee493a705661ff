"""An agent's configuration as a form: every mistake is told at the field that makes it."""

from typing import Any

from django import forms

from agents import form_tools
from agents.advice import confirmation, loosened
from agents.checking import check_config
from agents.config import AgentConfig, Guardrails, Limits
from agents.config.models import ROLES
from agents.exceptions import BadConfig
from agents.files import Place, load
from agents.form_fields import PATTERNS, AgentFields
from agents.form_sections import SECTIONS, field_of, shape_error, write_section
from agents.shorthand import as_duration, in_line, short_model, short_rule
from agents.tools.catalogue import known_tools

LIMITS = tuple(Limits.model_fields)
GUARDRAILS = tuple(Guardrails.model_fields)
GATEWAY = "gateway"  # the pattern that asks no model


class AgentForm(AgentFields):
    """Reads and checks all of a configuration; `config` is what `publish` takes, `parsed` the same with its types.

    What would run without a person from now on is in `loosened`, and is published only when `confirmed` names it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.live = self.instance.live_version if self.instance.pk else None
        self.parsed: AgentConfig | None = None
        self.loosened: list[str] = []
        self.places: dict[str, dict[Place, int]] = {}  # by text: in which line each key stands
        self.written_at: list[int | None] = []  # of each tool, its place in the text of the other tools
        known = known_tools()
        field = self.fields["tools"]
        field.choices = [  # type: ignore[attr-defined]
            (path, f"{tool.name} ({tool.effect}): {tool.description}") for path, tool in known.items()
        ]
        if self.live is not None:
            self.initial.update(_initial(self.live.parsed, known), based_on=self.live.number)
        else:
            self.initial.update(pattern=PATTERNS[0], **Limits().model_dump(), **Guardrails().model_dump())

    @property
    def changed_data(self) -> list[str]:
        """The fields that say something else than before; 90 and 90s say the same."""
        told = super().changed_data
        if self.live is None or self.parsed is None:
            return told
        known = known_tools()
        before, after = _initial(self.live.parsed, known), _initial(self.parsed, known)
        return [name for name in told if before.get(name) != after.get(name) or name == "note"]

    @property
    def confirmation(self) -> str:
        """What `confirmed` holds when a person was shown all of `loosened` and agrees."""
        return confirmation(self.loosened)

    @property
    def mistakes(self) -> list[tuple[forms.BoundField, Any]]:
        """Every field with a mistake, and the mistake."""
        return [
            (self[name], error)
            for name, errors in self.errors.items()
            if name in self.fields
            for error in errors
        ]

    def clean(self) -> dict[str, Any]:
        """Check the whole, as `publish` will."""
        values = super().clean() or {}
        if self.live is not None and values.get("based_on") != self.live.number:
            raise forms.ValidationError(
                f"{self.live.published_by or 'Somebody'} published v{self.live.number} while you edited."
                " Open the page again, so that nothing of it is lost."
            )
        if values.get("pattern") != GATEWAY:
            for name in ("instructions", "executor"):
                if not values.get(name):
                    self.add_error(name, "This field is required.")
        if self.errors:
            return values
        try:
            self.config = self._assemble(values)
            self.parsed = check_config(self.config)
        except _Misplaced as mistake:
            self.add_error(mistake.field, str(mistake))
        except BadConfig as error:
            for item in error.errors or [{"path": [], "message": str(error)}]:
                self._tell(item["path"], item["message"])
        else:
            self.loosened = loosened(self.parsed, self.live.parsed if self.live else None)
            if self.loosened and values["confirmed"] != self.confirmation:
                self.add_error(
                    None,
                    "Calls would run without the people who were asked before: tick the box above, or mend the policy.",
                )
        return values

    def _assemble(self, values: dict[str, Any]) -> dict[str, Any]:
        policy, self.places["policy"] = _yaml("policy", values["policy"])
        sections = self._sections(values)
        config = dict(self.live.config) if self.live else {}
        config |= {name: values[name] for name in ("purpose", "pattern", "instructions")}
        config |= {
            "models": {role: _model(role, values[role]) for role in ROLES if values[role]},
            "tools": self._chosen_tools(values),
            "limits": {name: values[name] for name in LIMITS if values[name] != ""},
            "guardrails": {name: values[name] for name in GUARDRAILS if values[name] != ""},
            "policy": policy or [],
        }
        for name in ("models", "instructions"):
            if not config[name]:  # of a gateway
                del config[name]
        for section in SECTIONS:
            config.pop(section, None)
        return config | sections

    def _chosen_tools(self, values: dict[str, Any]) -> list[Any]:
        document, self.places["tools"] = _yaml("other_tools", values["other_tools"])
        try:
            others = form_tools.read(document)
        except ValueError as error:
            raise _Misplaced("other_tools", str(error)) from error
        before = self.live.config.get("tools", []) if self.live else []
        chosen = form_tools.in_order(values["tools"], others, before)
        self.written_at = [place for _, place in chosen]
        return [entry for entry, _ in chosen]

    def _sections(self, values: dict[str, Any]) -> dict[str, Any]:
        """The parts that are written as YAML."""
        sections = {}
        for section in SECTIONS:
            field = field_of(section)
            if not values[field]:
                continue
            sections[section], self.places[section] = _yaml(field, values[field])
            if error := shape_error(section, sections[section]):
                raise _Misplaced(field, error)
        return sections

    def _tell(self, path: list[str | int], message: str) -> None:
        match path:
            case ["models", role, *rest] if role in ROLES:
                self.add_error(str(role), _named(rest, message))
            case ["limits" | "guardrails", name, *_] if name in self.fields:
                self.add_error(str(name), message)
            case ["tools", int(place), *rest] if (at := self.written_at[place]) is not None:
                self.add_error("other_tools", self._at_line("tools", [at, *rest], message))
            case ["tools", *_]:
                typed = [
                    path for path in self.data.get("other_tools", "").split() if path and path in message
                ]
                self.add_error("other_tools" if typed else "tools", message)
            case ["policy", int(place), *rest]:
                self.add_error("policy", self._at_line("policy", [place, *rest], message))
            case [section, *rest] if section in SECTIONS:
                told = self._at_line(str(section), rest, message) if rest else message
                self.add_error(field_of(str(section)), told)
            case [name, *_] if name in self.fields:
                self.add_error(str(name), message)
            case _:
                self.add_error(None, message)

    def _at_line(self, text: str, path: list[str | int], message: str) -> str:
        """A mistake with its line in one of the texts, and its place; that of a list's item is told by its line alone."""
        below = path[1:] if isinstance(path[0], int) else path
        lines = self.places.get(text, {})
        line = f"Line {_line_of(path, lines)}: " if lines else ""
        return f"{line}{_named(below, message)}"


class _Misplaced(Exception):
    """A text that can't be read at all, and its field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def _initial(config: AgentConfig, known: dict[str, Any]) -> dict[str, Any]:
    stored = config.model_dump(mode="json", exclude_defaults=True)
    models = {role: short_model(model) for role, model in stored.get("models", {}).items()}
    ticked, others = form_tools.written(config, known)
    return {
        "purpose": config.purpose,
        "pattern": config.pattern,
        "instructions": config.instructions,
        **{role: _flow(model) for role, model in models.items()},
        "tools": ticked,
        "other_tools": others,
        **config.limits.model_dump(),
        "seconds": as_duration(config.limits.seconds),
        **config.guardrails.model_dump(),
        **{field_of(section): write_section(stored, section) for section in SECTIONS},
        "policy": "".join(f"- {_flow(short_rule(rule))}\n" for rule in stored.get("policy", [])),
    }


def _flow(value: str | dict[str, Any]) -> str:
    return value if isinstance(value, str) else in_line(value)


def _model(role: str, text: str) -> Any:
    return _yaml(role, text)[0] if text.startswith("{") else text


def _yaml(field: str, text: str) -> tuple[Any, dict[Place, int]]:
    try:
        return load(text, source=field)
    except BadConfig as error:
        raise _Misplaced(field, str(error)) from error


def _line_of(path: list[str | int], places: dict[Place, int]) -> int:
    """The line of the innermost part of `path` that stands in the text."""
    place = tuple(path)
    while place and place not in places:
        place = place[:-1]
    return places.get(place, 1)


def _named(path: list[str | int], message: str) -> str:
    where = ".".join(str(part) for part in path)
    return f"{where}: {message}" if where else message
