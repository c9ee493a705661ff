"""An agent's configuration as a form: every mistake is told at the field that makes it."""

from typing import TYPE_CHECKING, Any, get_args

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from agents.actions import check_config
from agents.advice import confirmation, loosened
from agents.config import AgentConfig, Guardrails, Limits
from agents.config.models import ROLES
from agents.exceptions import BadConfig
from agents.files import Place, load
from agents.form_sections import HELP, SECTIONS, field_of, shape_error, write_section
from agents.models import Agent
from agents.shorthand import as_duration, in_line, short_model, short_rule
from agents.tools.catalogue import known_tools

if TYPE_CHECKING:
    _AgentModelForm = forms.ModelForm[Agent]
else:
    _AgentModelForm = forms.ModelForm

LIMITS = tuple(Limits.model_fields)
GUARDRAILS = tuple(Guardrails.model_fields)
PATTERNS = get_args(AgentConfig.model_fields["pattern"].annotation)
MODEL_HELP = (
    "provider:model, such as anthropic:claude-sonnet-4-5. With more to say: "
    "{provider: openai, model: my-model, base_url: http://127.0.0.1:9000/v1, timeout: 30}"
)
POLICY_HELP = (
    "A YAML list of rules, in order; the first that matches decides. None matches: reads are allowed, all else asks "
    "one operator. Example:\n"
    '- {tool: issue_refund, when: "arguments.amount <= 50.0 && !tainted", then: allow}\n'
    "- {effect: irreversible, then: require, approvers: 2, role: operator, expires: 4h}\n"
    "- {tool: delete_customer, then: deny}\n"
    "`when` is CEL over tool, effect, category, egress, agent, arguments, subject, tainted and now."
)


def _line(**options: Any) -> forms.CharField:
    return forms.CharField(widget=UnfoldAdminTextInputWidget(), **options)


class _Text(forms.CharField):
    """A text of several lines, taken as it was written: browsers end lines in their own way."""

    def to_python(self, value: Any) -> str:
        text = str(super().to_python(value)).replace("\r\n", "\n").replace("\r", "\n")
        return text if text.strip() else ""


def _area(rows: int, **options: Any) -> forms.CharField:
    return _Text(widget=UnfoldAdminTextareaWidget({"rows": rows}), strip=False, **options)


class AgentForm(_AgentModelForm):
    """Reads and checks all of a configuration; `config` is what `publish` takes, `parsed` the same with its types.

    What would run without a person from now on is in `loosened`, and is published only when `confirmed` names it.
    """

    purpose = _area(2, help_text="In a sentence: what the agent is for.")
    pattern = forms.ChoiceField(
        choices=[(name, name) for name in PATTERNS],
        widget=UnfoldAdminSelectWidget(),
        help_text=(
            "plan_execute: plan, act, look whether it is done. react: one model call per turn and no other. "
            "router: hand each request to the agent of its class. coordinator: give parts to several agents at once. "
            "chain: fixed steps in order."
        ),
    )
    instructions = _area(14, help_text="What the models are told. What outsiders write never changes it.")
    executor = _line(help_text=MODEL_HELP)
    planner = _line(required=False, help_text="Empty: the executor's.")
    observer = _line(required=False, help_text="Empty: the executor's.")
    summariser = _line(required=False, help_text="Shortens what was said long ago. Empty: the executor's.")
    router = _line(required=False, help_text="A small model that classifies requests. Empty: the executor's.")
    embeddings = _line(
        required=False,
        help_text="provider:model of an endpoint with /v1/embeddings. Empty: words alone, without a model.",
    )
    tools = forms.MultipleChoiceField(
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text="The agent can call these and no others. 5 to 7 work best, 15 is the most.",
    )
    other_tools = _area(
        3,
        required=False,
        help_text="Dotted paths of functions with @tool, one a line, such as shop.tools.get_order",
    )
    turns = _line(required=False, help_text="Model calls of the executor at most.")
    tokens = _line(required=False, help_text="Tokens at most, all models together.")
    step_tokens = _line(
        required=False, label="Tokens per step", help_text="Of one model call, prompt and answer, at most."
    )
    repeats = _line(
        required=False,
        label="Repetitions",
        help_text="Calls with the same arguments after which a run has gone in circles and is stopped.",
    )
    tool_retries = _line(
        required=False,
        label="Tool retries",
        help_text="How often a call that failed is tried again, where repeating it does no harm. 0: never.",
    )
    cost_usd = _line(required=False, label="Cost", help_text="US dollars at most.")
    seconds = _line(
        required=False, label="Time", help_text="Work at most: 120, 90s or 15m. Waiting does not count."
    )
    input_max = _line(required=False, label="Longest input", help_text="Characters.")
    scope = _area(
        2, required=False, help_text="What tasks may be about: orders, shipping, returns. Empty: anything."
    )
    confidence_min = _line(
        required=False, label="Least confidence", help_text="0 to 1; below, the run is handed to people."
    )
    verify = forms.ChoiceField(
        required=False,
        choices=[("on", "on"), ("off", "off")],
        widget=UnfoldAdminSelectWidget(),
        label="Verify answers",
        help_text=(
            "Identifiers and amounts of an answer must stand in what the agent read; else it corrects the answer once, "
            "and then people take over."
        ),
    )
    routing = _area(5, required=False, label="Router", help_text=HELP["router"])
    coordinator = _area(4, required=False, help_text=HELP["coordinator"])
    chain = _area(5, required=False, help_text=HELP["chain"])
    plan = _area(1, required=False, help_text=HELP["plan"])
    fast_path = _area(2, required=False, help_text=HELP["fast_path"])
    degraded = _area(2, required=False, label="Without models", help_text=HELP["degraded"])
    context = _area(3, required=False, help_text=HELP["context"])
    conversations = _area(4, required=False, help_text=HELP["conversations"])
    rates = _area(3, required=False, label="Rate limits", help_text=HELP["rates"])
    memory = _area(4, required=False, help_text=HELP["memory"])
    answer_cache = _area(2, required=False, label="Repeated questions", help_text=HELP["answer_cache"])
    policy = _area(10, required=False, help_text=POLICY_HELP)
    note = _line(required=False, max_length=300, help_text="Why this changes, for the list of versions.")
    based_on = forms.IntegerField(required=False, widget=forms.HiddenInput)
    confirmed = forms.CharField(required=False)

    class Meta:
        model = Agent
        fields = ("name",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.live = self.instance.live_version if self.instance.pk else None
        self.parsed: AgentConfig | None = None
        self.loosened: list[str] = []
        self.places: dict[str, dict[Place, int]] = {}
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
        if self.errors:
            return values
        try:
            self.config, places = self._assemble(values)
            self.parsed = check_config(self.config)
        except _Misplaced as mistake:
            self.add_error(mistake.field, str(mistake))
        except BadConfig as error:
            for item in error.errors or [{"path": [], "message": str(error)}]:
                self._tell(item["path"], item["message"], places, values)
        else:
            self.loosened = loosened(self.parsed, self.live.parsed if self.live else None)
            if self.loosened and values["confirmed"] != self.confirmation:
                self.add_error(
                    None,
                    "Calls would run without the people who were asked before: tick the box above, or mend the policy.",
                )
        return values

    def _assemble(self, values: dict[str, Any]) -> tuple[dict[str, Any], dict[Place, int]]:
        policy, places = _yaml("policy", values["policy"])
        sections, self.places = self._sections(values)
        chosen = [*values["tools"], *values["other_tools"].split()]
        before = [tool.python for tool in self.live.parsed.tools] if self.live else []
        # In the order that they had, so that saving without a change is no change.
        ordered = [path for path in before if path in chosen] + [
            path for path in chosen if path not in before
        ]
        config = dict(self.live.config) if self.live else {}
        config |= {name: values[name] for name in ("purpose", "pattern", "instructions")}
        config |= {
            "models": {role: _model(role, values[role]) for role in ROLES if values[role]},
            "tools": [{"python": path} for path in ordered],
            "limits": {name: values[name] for name in LIMITS if values[name] != ""},
            "guardrails": {name: values[name] for name in GUARDRAILS if values[name] != ""},
            "policy": policy or [],
        }
        for section in SECTIONS:
            config.pop(section, None)
        return config | sections, places

    def _sections(self, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[Place, int]]]:
        """The parts that are written as YAML, and where in them each key stands."""
        sections, places = {}, {}
        for section in SECTIONS:
            field = field_of(section)
            if not values[field]:
                continue
            sections[section], places[section] = _yaml(field, values[field])
            if error := shape_error(section, sections[section]):
                raise _Misplaced(field, error)
        return sections, places

    def _tell(
        self, path: list[str | int], message: str, places: dict[Place, int], values: dict[str, Any]
    ) -> None:
        match path:
            case ["models", role, *rest] if role in ROLES:
                self.add_error(str(role), _named(rest, message))
            case ["limits" | "guardrails", name, *_] if name in self.fields:
                self.add_error(str(name), message)
            case ["tools", *_]:
                other = any(path and path in message for path in values["other_tools"].split())
                self.add_error("other_tools" if other else "tools", message)
            case ["policy", *rest]:
                self.add_error("policy", f"Line {_line_of(rest, places)}: {_named(rest[1:], message)}")
            case [section, *rest] if section in SECTIONS:
                lines = self.places.get(str(section), {})
                line = f"Line {_line_of(rest, lines)}: " if rest and lines else ""
                self.add_error(field_of(str(section)), f"{line}{_named(rest, message)}")
            case [name, *_] if name in self.fields:
                self.add_error(str(name), message)
            case _:
                self.add_error(None, message)


class _Misplaced(Exception):
    """A text that can't be read at all, and its field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def _initial(config: AgentConfig, known: dict[str, Any]) -> dict[str, Any]:
    stored = config.model_dump(mode="json", exclude_defaults=True)
    models = {role: short_model(model) for role, model in stored["models"].items()}
    paths = [tool.python for tool in config.tools]
    return {
        "purpose": config.purpose,
        "pattern": config.pattern,
        "instructions": config.instructions,
        **{role: _flow(model) for role, model in models.items()},
        "tools": [path for path in paths if path in known],
        "other_tools": "\n".join(path for path in paths if path not in known),
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
