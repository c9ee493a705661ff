"""Django admin: configuring agents, and looking at history, for admins alone."""

import html
import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, AgentVersion
from console.models import ApiToken
from console.people.tokens import make_token
from tests import world
from traces.models import Event

pytestmark = pytest.mark.django_db

GET_ORDER = "agents.examples.support.tools.get_order"
REFUND = "agents.examples.support.tools.issue_refund"
FORM = {
    "name": "clerk",
    "purpose": "Files papers.",
    "pattern": "react",
    "instructions": "File them well.",
    "executor": "scripted:test",
    "planner": "",
    "observer": "",
    "tools": [GET_ORDER, REFUND],
    "other_tools": "tests.tools.pay",
    "turns": "5",
    "tokens": "",
    "cost_usd": "0.5",
    "seconds": "90s",
    "input_max": "",
    "scope": "papers",
    "confidence_min": "",
    "policy": '- {tool: pay, when: "arguments.amount <= 5.0", then: allow}\n',
    "note": "First go.",
}


@pytest.fixture
def ada(client: Client) -> Client:
    """An admin's browser."""
    client.force_login(world.person("ada", "admin"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def add(client: Client, **changes: Any) -> Any:
    return client.post(reverse("admin:agents_agent_add"), FORM | changes, follow=True)


def form_of(response: Any) -> Any:
    return response.context["adminform"].form


def change(client: Client, agent: Agent, **changes: Any) -> Any:
    """Save the form as the page shows it, with these changes."""
    url = reverse("admin:agents_agent_change", args=[agent.pk])
    form = form_of(client.get(url))
    shown = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    values = {name: "" if value is None else value for name, value in shown.items()}
    return client.post(url, values | changes, follow=True)


def live(agent: Agent) -> AgentVersion:
    version = Agent.objects.select_related("live_version").get(pk=agent.pk).live_version
    assert version is not None
    return version


@pytest.mark.req("OPS-3")
@pytest.mark.parametrize("role", ["operator", "analyst", "service"])
def test_the_admin_pages_are_for_admins(client: Client, role: str) -> None:
    client.force_login(world.person("someone", role), backend="django.contrib.auth.backends.ModelBackend")
    for path in ("/admin/", "/admin/agents/agent/", "/admin/agents/agent/add/", "/admin/auth/user/"):
        response = client.get(path, follow=True)
        assert response.status_code == 403, path
    assert client.post("/admin/agents/agent/add/", FORM, follow=True).status_code == 403
    assert not Agent.objects.exists()


def test_strangers_are_led_to_the_consoles_sign_in(client: Client) -> None:
    response = client.get("/admin/agents/agent/", follow=True)
    assert response.redirect_chain[-1][0].startswith("/sign-in?next=%2Fadmin%2Fagents%2Fagent%2F")


@pytest.mark.req("AGT-1", "AGT-2")
def test_saving_publishes_a_version_and_says_so(ada: Client) -> None:
    response = add(ada)
    assert b"clerk v1 is published" in response.content
    agent = Agent.objects.get(name="clerk")
    version = live(agent)
    assert (version.number, version.note, str(version.published_by)) == (1, "First go.", "ada")
    config = version.parsed
    assert [tool.python for tool in config.tools] == [GET_ORDER, REFUND, "tests.tools.pay"]
    assert (config.limits.turns, config.limits.seconds, config.limits.tokens) == (5, 90, 50_000)
    assert config.policy[0].tool == "pay"

    response = change(ada, agent)
    assert b"Nothing is changed: clerk v1" in response.content
    response = change(ada, agent, turns="7", note="More turns.")
    assert b"clerk v2 is published" in response.content
    assert live(agent).parsed.limits.turns == 7
    assert AgentVersion.objects.get(number=1).parsed.limits.turns == 5
    page = response.content.decode()
    assert "More turns." in page
    assert "First go." in page
    assert list(
        Event.objects.filter(name="agent.published").order_by("pk").values_list("actor", "data__version")
    ) == [("user:ada", 1), ("user:ada", 2)]


@pytest.mark.req("AGT-1")
def test_what_a_file_says_survives_a_save_in_the_form(ada: Client) -> None:
    model = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "timeout": 5}
    version = world.publish_agent(
        "teller",
        models={"executor": model, "planner": "scripted:plan"},
        policy=[{"effect": "irreversible", "then": "require", "expires": "15m", "approvers": 2}],
    )
    assert b"Nothing is changed" in change(ada, version.agent).content
    change(ada, version.agent, turns="3")
    assert live(version.agent).config == version.config | {"limits": {"turns": 3}}


OTHER_TOOLS = """\
- tests.tools.add_note
- python: tests.tools.pay
  checks:
    account: {exists: get_balance}
    amount:
      maximum: 500
- http:
    name: get_invoice
    description: An invoice.
    url: "https://invoices.example/{invoice_id}"
    arguments: {invoice_id: string}
    effect: read
    cache: 5m
    headers: {X-Team: clerks}
"""


@pytest.mark.req("AGT-1", "TOOL-1")
def test_tools_of_all_kinds_are_edited_as_a_list(ada: Client) -> None:
    tools = f"- tests.tools.get_balance\n{OTHER_TOOLS}"
    response = add(ada, other_tools=tools)
    assert b"clerk v1 is published" in response.content, form_of(response).errors
    agent = Agent.objects.get(name="clerk")
    assert [tool.kind for tool in live(agent).parsed.tools] == ["python"] * 5 + ["http"]
    pay = live(agent).parsed.tools[4]
    assert (pay.checks["amount"].maximum, pay.python) == (500, "tests.tools.pay")
    assert b"Nothing is changed" in change(ada, agent).content
    shown = form_of(ada.get(reverse("admin:agents_agent_change", args=[agent.pk]))).initial["other_tools"]
    assert "cache: 5m" in shown
    assert "exists: get_balance" in shown
    change(ada, agent, other_tools=shown.replace("maximum: 500", "maximum: 400"), turns="6")
    version = live(agent)
    assert version.number == 2
    assert [tool.kind for tool in version.parsed.tools] == ["python"] * 5 + ["http"]
    assert version.parsed.tools[4].checks["amount"].maximum == 400


@pytest.mark.req("AGT-1")
@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("effect: read", "effect: raed", "Line 13: http.effect: 'raed' is not known; did you mean 'read'?"),
        ("maximum: 500", "maxmum: 500", "Line 7: checks.amount.maxmum: unknown key 'maxmum'; did you mean 'maximum'?"),
        ("exists: get_balance", "exists: get_blance", "Line 5: checks.account.exists: the agent doesn't have the tool 'get_blance'"),
        ("- http:", "- htpp:", "Line 8: htpp: unknown key 'htpp'; did you mean 'http'?"),
        ("- tests.tools.add_note", "- tests.tools.add_not", "Line 2: python: There is no tool 'tests.tools.add_not'"),
        ("- tests.tools.add_note", "- 5", "Line 2: write keys with values"),
        ("    url:", "   url:", "this is not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_in_another_tool_is_told_at_its_line(
    ada: Client, right: str, wrong: str, words: str
) -> None:
    response = add(ada, other_tools=f"- tests.tools.get_balance\n{OTHER_TOOLS.replace(right, wrong)}")
    errors = form_of(response).errors
    assert list(errors) == ["other_tools"]
    assert words in " ".join(errors["other_tools"])


def test_other_tools_are_a_list(ada: Client) -> None:
    response = add(ada, other_tools="http: {name: x}")
    assert "Write a list" in " ".join(form_of(response).errors["other_tools"])


@pytest.mark.req("APR-10")
def test_a_gateway_needs_no_model(ada: Client) -> None:
    response = add(ada, pattern="gateway", instructions="", executor="")
    assert b"clerk v1 is published" in response.content, form_of(response).errors
    agent = Agent.objects.get(name="clerk")
    assert live(agent).parsed.pattern == "gateway"
    assert b"Nothing is changed" in change(ada, agent).content
    errors = form_of(add(ada, name="other", executor="")).errors
    assert list(errors) == ["executor"]


MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no purpose": ({"purpose": ""}, "purpose", "required"),
    "bad name": ({"name": "The Clerk"}, "name", "lower-case"),
    "no instructions": ({"instructions": " "}, "instructions", "required"),
    "model without provider": ({"executor": "gpt"}, "executor", "write a model as provider:model"),
    "unknown provider": ({"planner": "acme:x"}, "planner", "'acme' is not known; known: anthropic"),
    "broken model": ({"executor": "{provider: openai"}, "executor", "this is not YAML"),
    "misspelt model key": ({"executor": "{provider: openai, modle: x}"}, "executor", "did you mean 'model'"),
    "no such tool": ({"other_tools": "tests.tools.play"}, "other_tools", "There is no tool"),
    "no tool at all": ({"other_tools": "..x"}, "other_tools", "There is no tool"),
    "tool chosen twice": ({"other_tools": GET_ORDER}, "other_tools", "named twice"),
    "unknown choice": ({"tools": ["x.y"]}, "tools", "Select a valid choice"),
    "turns in words": ({"turns": "five"}, "turns", "write a whole number, such as 25."),
    "turns out of bounds": ({"turns": "0"}, "turns", "write at least 1."),
    "tokens beyond all": ({"tokens": "9" * 30}, "tokens", "write at most 1,000,000,000."),
    "cost NaN": ({"cost_usd": "nan"}, "cost_usd", "write at most 1,000,000."),
    "no duration": ({"seconds": "soon"}, "seconds", "write 90s, 15m, 2h or 1d"),
    "confidence": ({"confidence_min": "2"}, "confidence_min", "write at most 1."),
    "policy that is no list": ({"policy": "x"}, "policy", "write a list:"),
    "policy that is no YAML": ({"policy": "- {tool: x"}, "policy", "this is not YAML"),
    "bad rule": (
        {"policy": "- {tool: pay, then: allow}\n- {then: ask}"},
        "policy",
        "Line 2: then: 'ask' is not known",
    ),
    "bad condition": ({"policy": '- {when: "a &&", then: deny}'}, "policy", "Line 1: when: the condition"),
    "no such argument": (
        {"policy": '- {tool: pay, when: "arguments.ammount < 5", then: deny}'},
        "policy",
        "Line 1: when: the condition names the argument 'ammount'",
    ),
    "misspelt rule key": ({"policy": "- {tol: pay, then: deny}"}, "policy", "did you mean 'tool'"),
    "rule for a missing tool": ({"policy": "- {tool: play, then: deny}"}, "policy", "which the agent doesn"),
    "expires too late": (
        {"policy": "- {then: require, expires: 9999999999}"},
        "policy",
        "write at most 31,622,400.",
    ),
    "NUL in the policy": ({"policy": '- {tool: "a\\0", then: deny}'}, "policy", "can't be stored"),
    "NUL in the purpose": ({"purpose": "a\x00b"}, "purpose", "Null characters"),
}


@pytest.mark.req("AGT-1")
@pytest.mark.parametrize("name", MISTAKES)
def test_bad_configuration_is_refused_at_its_field(ada: Client, name: str) -> None:
    changes, field, words = MISTAKES[name]
    response = add(ada, **changes)
    assert response.status_code == 200
    errors = form_of(response).errors
    assert list(errors) == [field]
    assert words in " ".join(errors[field])
    assert not Agent.objects.exists()


@pytest.mark.req("AGT-2")
def test_of_two_who_edit_at_once_the_second_is_told(ada: Client) -> None:
    agent = world.publish_agent().agent
    url = reverse("admin:agents_agent_change", args=[agent.pk])
    form = form_of(ada.get(url))
    shown = {name: form.get_initial_for_field(field, name) or "" for name, field in form.fields.items()}
    world.publish_agent(purpose="Something else.")
    response = ada.post(url, shown | {"turns": "3"})
    assert "published v2 while you edited" in str(form_of(response).non_field_errors())
    assert live(agent).number == 2


@pytest.mark.req("AGT-2")
def test_versions_are_compared_side_by_side_and_rolled_back_to(ada: Client) -> None:
    agent = world.publish_agent(limits={"turns": 3}).agent
    world.publish_agent(purpose="Pays <b>nothing</b>.", limits={"turns": 4})
    response = ada.get(reverse("admin:agents_agent_versions", args=[agent.pk, 2, 1]))
    lines = [(line.left, line.right) for line in response.context["lines"] if line.differs]
    assert ("purpose: Pays what is owed.", "purpose: Pays <b>nothing</b>.") in lines
    assert ("  turns: 3", "  turns: 4") in lines
    assert b"<b>nothing" not in response.content
    page = " ".join(response.content.decode().split())
    assert page.index("v1 (published") < page.index("v2, live (published")
    assert "Roll back to v1" in page
    assert "Roll back to v2" not in page

    back = reverse("admin:agents_agent_roll_back", args=[agent.pk, 1])
    ada.get(back)
    assert live(agent).number == 2
    response = ada.post(back, follow=True)
    assert b"teller v3 is published, as v1 was" in response.content
    assert live(agent).config == AgentVersion.objects.get(number=1).config
    assert str(live(agent).published_by) == "ada"
    assert live(agent).note == "Back to v1"
    assert ada.get(reverse("admin:agents_agent_versions", args=[agent.pk, 2, 9])).status_code == 404
    response = ada.post(reverse("admin:agents_agent_roll_back", args=[agent.pk, 9]), follow=True)
    assert b"v9 was not published" in response.content
    assert live(agent).number == 3
    assert ada.get(reverse("admin:agents_agent_versions", args=[99, 1, 2])).status_code == 404


@pytest.mark.req("AGT-2", "APR-5")
def test_rolling_back_to_where_people_were_not_asked_is_confirmed(ada: Client) -> None:
    agent = world.publish_agent(policy=[{"tool": "pay", "then": "allow"}]).agent
    world.publish_agent(policy=[{"tool": "pay", "then": "require"}])
    back = reverse("admin:agents_agent_roll_back", args=[agent.pk, 1])
    response = ada.post(back, follow=True)
    assert b"v1 was not published" in response.content
    assert live(agent).number == 2
    [way] = response.context["ways_back"]
    assert way["loosened"][0] in html.unescape(response.content.decode())
    ada.post(back, {"confirmed": way["confirmation"]})
    assert live(agent).number == 3


@pytest.mark.req("AGT-1", "APR-5")
def test_a_policy_that_no_longer_asks_people_is_published_only_when_confirmed(ada: Client) -> None:
    agent = world.publish_agent(policy=[{"tool": "pay", "then": "require"}]).agent
    open_to_all = "- {tool: pay, then: allow}\n"
    response = change(ada, agent, policy=open_to_all)
    form = form_of(response)
    assert [sentence.split()[0] for sentence in form.loosened] == ["pay"]
    assert "pay can't be undone and would run without asking" in html.unescape(response.content.decode())
    assert live(agent).number == 1
    wider = change(ada, agent, policy="- {then: allow}\n", confirmed=form.confirmation)
    assert len(form_of(wider).loosened) > 1
    assert live(agent).number == 1
    response = change(ada, agent, policy=open_to_all, confirmed=form.confirmation)
    assert b"teller v2 is published" in response.content
    assert b"Nothing is changed" in change(ada, agent).content
    assert change(ada, agent, policy="").status_code == 200
    assert live(agent).number == 2
    response = add(ada, policy="- {tool: pay, then: allow}")
    assert [sentence.split()[0] for sentence in form_of(response).loosened] == ["pay"]
    assert not Agent.objects.filter(name="clerk").exists()


@pytest.mark.req("AGT-1", "RUN-2")
def test_a_model_without_a_price_is_told_of(ada: Client) -> None:
    response = add(ada, executor="openai:made-up")
    assert "No price is known for openai:made-up" in html.unescape(response.content.decode())
    assert Agent.objects.get().live_version is not None


@pytest.mark.req("AGT-2")
def test_only_what_was_touched_is_said_to_have_changed(ada: Client) -> None:
    agent = world.publish_agent(
        purpose="Pays,\nand looks.\n",
        instructions="Look.\n\n  Then pay.\n",
        policy=[{"tool": "pay", "when": "arguments.amount <= 5.0", "then": "allow"}],
        limits={"seconds": 90, "cost_usd": 1.0},
        guardrails={"scope": "orders\n"},
    ).agent
    url = reverse("admin:agents_agent_change", args=[agent.pk])
    form = form_of(ada.get(url))
    shown = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    sent = {
        name: value.replace("\n", "\r\n") if isinstance(value, str) else "" if value is None else value
        for name, value in shown.items()
    }
    assert b"Nothing is changed" in ada.post(url, sent, follow=True).content
    same = {"seconds": "90", "cost_usd": "1"}
    ada.post(url, sent | same | {"turns": "7"})
    assert live(agent).config == AgentVersion.objects.get(number=1).config | {
        "limits": {"seconds": 90, "cost_usd": 1.0, "turns": 7}
    }
    told = [json.loads(entry.change_message) for entry in LogEntry.objects.order_by("pk")]
    assert told == [[], [{"changed": {"fields": ["turns"]}}]]


def test_a_mistake_is_named_with_its_field_above_the_form(ada: Client) -> None:
    page = html.unescape(add(ada, policy='- {when: "a &&", then: deny}').content.decode())
    assert (
        "Policy</a>: Line 1: when: the condition 'a &&' can't be read at column 5: it ends too early." in page
    )
    assert "expecting" not in page


@pytest.mark.req("OPS-3")
@pytest.mark.parametrize("role", ["operator", None])
def test_only_admins_compare_and_roll_back(client: Client, role: str | None) -> None:
    agent = world.publish_agent().agent
    world.publish_agent(purpose="Something else.")
    if role:
        client.force_login(world.person("ana", role), backend="django.contrib.auth.backends.ModelBackend")
    client.post(reverse("admin:agents_agent_roll_back", args=[agent.pk, 1]))
    assert live(agent).number == 2
    response = client.get(reverse("admin:agents_agent_versions", args=[agent.pk, 1, 2]))
    assert response.status_code == 302


READ_ONLY = [
    "agents_agentversion", "agents_run", "agents_step", "agents_toolcall", "approvals_approval", "approvals_decision",
    "approvals_halt", "traces_event", "traces_span", "auth_group", "console_apitoken",
]  # fmt: skip


@pytest.mark.req("AGT-2", "OPS-4")
@pytest.mark.parametrize("model", READ_ONLY)
def test_history_can_be_read_and_not_changed(ada: Client, model: str) -> None:
    world.start(agent=world.publish_agent().agent.name, input="<script>alert(1)</script>")
    make_token(user=User.objects.get(username="ada"), role="admin", now=timezone.now())
    assert ada.get(reverse(f"admin:{model}_changelist")).status_code == 200
    assert ada.get(reverse(f"admin:{model}_add")).status_code == 403
    row = admin.site._registry[
        next(m for m in admin.site._registry if m._meta.label_lower.replace(".", "_") == model)
    ]
    found = row.model._default_manager.first()
    if found is not None:
        page = reverse(f"admin:{model}_change", args=[found.pk])
        response = ada.get(page)
        assert response.status_code == 200
        assert b"<script>alert" not in response.content
        assert ada.post(page, {}).status_code == 403
        assert ada.post(reverse(f"admin:{model}_delete", args=[found.pk])).status_code == 403


def test_every_list_and_search_answers(ada: Client) -> None:
    for model in admin.site._registry:
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for query in ("", "?q=ana", "?q=01900000-0000-7000-8000-000000000000", "?q=%00"):
            assert ada.get(url + query, follow=True).status_code == 200, url + query


@pytest.mark.req("OPS-3")
def test_tokens_are_listed_and_revoked_never_shown(ada: Client) -> None:
    token = make_token(user=world.person("shop", "service"), role="service", now=timezone.now())
    url = reverse("admin:console_apitoken_changelist")
    page = ada.get(url).content.decode()
    assert token[:10] in page
    assert token not in page
    assert ApiToken.objects.get().digest not in page
    row = ApiToken.objects.get()
    ada.post(url, {"action": "revoke", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert Event.objects.get(name="token.revoked").actor == "user:ada"


@pytest.mark.req("OPS-3")
def test_roles_are_given_and_kept_in_the_audit_log(ada: Client) -> None:
    ben = world.person("ben")
    url = reverse("admin:auth_user_change", args=[ben.pk])
    roles = {name: Group.objects.get_or_create(name=name)[0].pk for name in ("operator", "service")}
    response = ada.post(url, {"username": "ben", "is_active": "on", "groups": [roles["operator"]]})
    assert response.status_code == 302, response.context["adminform"].form.errors
    assert [group.name for group in ben.groups.all()] == ["operator"]
    event = Event.objects.get(name="user.roles_changed")
    assert (event.actor, event.data["before"], event.data["after"]) == ("user:ada", [], ["operator"])
    response = ada.post(url, {"username": "ben", "is_active": "on", "groups": list(roles.values())})
    assert "goes with no other role" in str(form_of(response).errors)
    assert ada.get(reverse("admin:auth_user_delete", args=[ben.pk])).status_code == 403
    assert b"is_superuser" not in ada.get(url).content


def test_a_person_is_added(ada: Client) -> None:
    url = reverse("admin:auth_user_add")
    assert ada.get(url).status_code == 200
    new = {
        "username": "cleo",
        "usable_password": "true",
        "password1": "long enough 42",
        "password2": "long enough 42",
    }
    response = ada.post(url, new, follow=True)
    assert response.status_code == 200
    cleo = User.objects.get(username="cleo")
    assert not cleo.groups.exists()
    assert not cleo.is_staff


@pytest.mark.req("OPS-4")
def test_what_the_admin_needs_beyond_the_strict_policy_stays_there(ada: Client) -> None:
    assert "'unsafe-eval'" in ada.get("/admin/").headers["Content-Security-Policy"]
    assert (
        "'unsafe-inline'"
        not in ada.get("/admin/").headers["Content-Security-Policy"].split("script-src")[1].split(";")[0]
    )
    for path in ("/", "/sign-in", "/api/v1/docs", "/inbox"):
        assert "unsafe" not in ada.get(path).headers["Content-Security-Policy"], path


PARTS = {
    "pattern": "plan_execute",
    "step_tokens": "9000",
    "repeats": "4",
    "tool_retries": "0",
    "verify": "off",
    "summariser": "scripted:small",
    "router": "scripted:tiny",
    "plan": "approve: true",
    "fast_path": "when: the status of one order is asked\nconfidence_min: 0.9",
    "degraded": "mode: reply\nreply: We write to you.",
    "context": "summarise_at: 0.5\nreinforce_every: 4",
    "conversations": "{idle: 10m, busy: take_in}",
    "rates": "user: 5",
    "memory": "scratchpad: true\nkeep: 30d",
    "answer_cache": "keep: 2h",
}


@pytest.mark.req("AGT-1")
def test_every_part_of_a_configuration_can_be_edited(ada: Client) -> None:
    response = add(ada, **PARTS)
    assert b"clerk v1 is published" in response.content, form_of(response).errors
    agent = Agent.objects.get(name="clerk")
    config = live(agent).parsed
    assert (config.limits.step_tokens, config.limits.repeats, config.limits.tool_retries) == (9000, 4, 0)
    assert (config.guardrails.verify, config.plan.approve) == ("off", True)
    assert config.fast_path is not None
    assert config.fast_path.confidence_min == 0.9
    assert (config.degraded.mode, config.degraded.reply) == ("reply", "We write to you.")
    assert (config.context.summarise_at, config.context.reinforce_every) == (0.5, 4)
    assert (config.conversations.idle, config.conversations.busy, config.rates.user) == (600, "take_in", 5)
    assert (config.memory.scratchpad, config.memory.keep) == (True, 30 * 86400)
    assert str(config.models.for_role("router")) == "scripted:tiny"
    assert b"Nothing is changed: clerk v1" in change(ada, agent).content
    change(ada, agent, answer_cache="", degraded="")
    assert (live(agent).parsed.answer_cache, live(agent).parsed.degraded.mode) == (None, "wait")


@pytest.mark.req("AGT-1")
def test_patterns_of_several_agents_are_edited_as_lists(ada: Client) -> None:
    routes = "routes:\n- {name: papers, when: any paper, agent: filer}\ndefault: papers"
    response = add(ada, pattern="router", routing=routes, tools=[], other_tools="", policy="")
    assert b"clerk v1 is published" in response.content, form_of(response).errors
    agent = Agent.objects.get(name="clerk")
    assert b"Nothing is changed" in change(ada, agent).content
    chain = "- {title: Read, instructions: Read it.}\n- {title: Write, instructions: Answer.}"
    change(ada, agent, pattern="chain", routing="", chain=chain)
    assert [link.title for link in live(agent).parsed.chain] == ["Read", "Write"]


@pytest.mark.req("AGT-1")
@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("step_tokens", "none", "write a whole number"),
        ("repeats", "1", "write at least 2."),
        ("tool_retries", "-1", "write at least 0."),
        ("context", "summarise_at: 0.5\nreinforce: 4", "unknown key 'reinforce'; did you mean 'reinforce_every'?"),
        ("context", "summarise_at: 0.5\nreinforce_every: 0", "Line 2: reinforce_every: "),
        ("context", "often", "Write keys with values"),
        ("context", "a: [", "this is not YAML"),
        ("chain", "title: Read", "Write a list"),
        ("degraded", "mode: reply", "degraded.reply must say what to answer"),
        ("memory", "keep: for ever", "write 90s, 15m, 2h or 1d"),
        ("routing", "routes: []\ndefault: x", "Line 1: routes: "),
        ("embeddings", "small", "write a model as provider:model"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_part_is_told_at_its_field(ada: Client, field: str, text: str, words: str) -> None:
    response = add(ada, **{field: text})
    assert not Agent.objects.exists()
    assert words in " ".join(form_of(response).errors[field]), form_of(response).errors
