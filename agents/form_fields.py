"""The fields of an agent's form: each says what it is for."""

from typing import TYPE_CHECKING, Any, get_args

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from agents.config import AgentConfig
from agents.form_sections import HELP
from agents.form_tools import OTHER_TOOLS_HELP
from agents.models import Agent

if TYPE_CHECKING:
    _AgentModelForm = forms.ModelForm[Agent]
else:
    _AgentModelForm = forms.ModelForm

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


def line(**options: Any) -> forms.CharField:
    """A text of one line."""
    return forms.CharField(widget=UnfoldAdminTextInputWidget(), **options)


class _Text(forms.CharField):
    """A text of several lines, taken as it was written: browsers end lines in their own way."""

    def to_python(self, value: Any) -> str:
        text = str(super().to_python(value)).replace("\r\n", "\n").replace("\r", "\n")
        return text if text.strip() else ""


def area(rows: int, **options: Any) -> forms.CharField:
    """A text of several lines."""
    return _Text(widget=UnfoldAdminTextareaWidget({"rows": rows}), strip=False, **options)


class AgentFields(_AgentModelForm):
    """All of a configuration, as fields."""

    purpose = area(2, help_text="In a sentence: what the agent is for.")
    pattern = forms.ChoiceField(
        choices=[(name, name) for name in PATTERNS],
        widget=UnfoldAdminSelectWidget(),
        help_text=(
            "plan_execute: plan, act, look whether it is done. react: one model call per turn and no other. "
            "router: hand each request to the agent of its class. coordinator: give parts to several agents at once. "
            "chain: fixed steps in order. gateway: no model; other programs call the tools."
        ),
    )
    instructions = area(
        14, required=False, help_text="What the models are told. What outsiders write never changes it."
    )
    executor = line(required=False, help_text=MODEL_HELP)
    planner = line(required=False, help_text="Empty: the executor's.")
    observer = line(required=False, help_text="Empty: the executor's.")
    summariser = line(required=False, help_text="Shortens what was said long ago. Empty: the executor's.")
    router = line(required=False, help_text="A small model that classifies requests. Empty: the executor's.")
    embeddings = line(
        required=False,
        help_text="provider:model of an endpoint with /v1/embeddings. Empty: words alone, without a model.",
    )
    tools = forms.MultipleChoiceField(
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text="The agent can call these and no others. 5 to 7 work best, 15 is the most.",
    )
    other_tools = area(6, required=False, help_text=OTHER_TOOLS_HELP)
    turns = line(required=False, help_text="Model calls of the executor at most.")
    tokens = line(required=False, help_text="Tokens at most, all models together.")
    step_tokens = line(
        required=False, label="Tokens per step", help_text="Of one model call, prompt and answer, at most."
    )
    repeats = line(
        required=False,
        label="Repetitions",
        help_text="Calls with the same arguments after which a run has gone in circles and is stopped.",
    )
    tool_retries = line(
        required=False,
        label="Tool retries",
        help_text="How often a call that failed is tried again, where repeating it does no harm. 0: never.",
    )
    questions_per_hour = line(
        required=False,
        label="Questions per hour",
        help_text="To people; an agent that asks more is halted until a person lifts it. 0: any number.",
    )
    cost_usd = line(required=False, label="Cost", help_text="US dollars at most.")
    seconds = line(
        required=False, label="Time", help_text="Work at most: 120, 90s or 15m. Waiting does not count."
    )
    input_max = line(required=False, label="Longest input", help_text="Characters.")
    scope = area(
        2, required=False, help_text="What tasks may be about: orders, shipping, returns. Empty: anything."
    )
    confidence_min = line(
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
    routing = area(5, required=False, label="Router", help_text=HELP["router"])
    coordinator = area(4, required=False, help_text=HELP["coordinator"])
    chain = area(5, required=False, help_text=HELP["chain"])
    plan = area(1, required=False, help_text=HELP["plan"])
    fast_path = area(2, required=False, help_text=HELP["fast_path"])
    degraded = area(2, required=False, label="Without models", help_text=HELP["degraded"])
    context = area(3, required=False, help_text=HELP["context"])
    conversations = area(4, required=False, help_text=HELP["conversations"])
    rates = area(3, required=False, label="Rate limits", help_text=HELP["rates"])
    memory = area(4, required=False, help_text=HELP["memory"])
    answer_cache = area(2, required=False, label="Repeated questions", help_text=HELP["answer_cache"])
    policy = area(10, required=False, help_text=POLICY_HELP)
    note = line(required=False, max_length=300, help_text="Why this changes, for the list of versions.")
    based_on = forms.IntegerField(required=False, widget=forms.HiddenInput)
    confirmed = forms.CharField(required=False)

    class Meta:
        model = Agent
        fields = ("name",)
