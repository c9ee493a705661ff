"""The Connect page: who sees it, the token that an admin makes there, and code that is filled in with it."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from console.models import ApiToken
from console.people.tokens import SCOPES, token_row
from console.recipes import RECIPES
from tests import world
from traces.models import Event

pytestmark = [pytest.mark.django_db, pytest.mark.req("APR-10")]
WANTED = {"name": "desk-bot", "agent": "door", "scopes": ["read", "ask", "mcp"], "term": "30"}


def sign_in(client: Client, role: str) -> str:
    """A person with this role, at the browser; their name."""
    name = f"the-{role}"
    client.force_login(world.person(name, role))
    return name


def page(client: Client) -> str:
    return client.get("/connect").content.decode()


def test_admins_and_operators_see_it_and_analysts_do_not(client: Client) -> None:
    for role, status in (("admin", 200), ("operator", 200), ("analyst", 403)):
        sign_in(client, role)
        assert client.get("/connect").status_code == status
        assert ('href="/connect"' in client.get("/runs").content.decode()) is (status == 200)


def test_an_operator_reads_the_code_and_makes_no_token(client: Client) -> None:
    sign_in(client, "operator")
    assert "gth_..." in page(client)
    assert "Make the token" not in page(client)
    assert client.post("/connect", WANTED).status_code == 403
    assert not ApiToken.objects.exists()


def test_an_admin_makes_a_token_which_stands_in_all_code_and_on_record(client: Client) -> None:
    world.publish_gateway()
    name = sign_in(client, "admin")

    response = client.post("/connect", WANTED)

    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    text = response.content.decode()
    (token,) = set(re.findall(r"gth_[\w-]{20,}", text))
    assert text.count(token) == 1 + sum(len(recipe.files) for recipe in RECIPES)
    assert "gth_..." not in text.partition("<aside")[0]
    row = token_row(token, now=timezone.now())
    assert row is not None
    assert (str(row.user), row.role, row.agent, row.scopes) == (
        "desk-bot",
        "service",
        "door",
        ["ask", "mcp", "read"],
    )
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at).days == 30
    event = Event.objects.get(name="token.created")
    assert event.actor == f"user:{name}"
    assert token not in str(event.data)
    assert token not in page(client)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"scopes": []}, "Tick at least one"),
        ({"scopes": ["decide"]}, "Select a valid choice"),
        ({"agent": "nobody"}, "Select a valid choice"),
        ({"name": "ana"}, "people and programs are different users"),
        ({"name": "a b"}, "Enter a valid username"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_a_mistake_is_told_and_makes_nothing(client: Client, wrong: dict[str, object], told: str) -> None:
    world.publish_gateway()
    world.operator("ana")
    sign_in(client, "admin")

    response = client.post("/connect", WANTED | wrong)

    assert response.status_code == 422
    assert told in response.content.decode()
    assert not ApiToken.objects.exists()


def test_gateways_come_first_and_every_scope_but_decide_is_offered(client: Client) -> None:
    world.publish_agent("a-worker")
    world.publish_gateway()
    sign_in(client, "admin")
    text = page(client)
    assert text.index('value="door" selected') < text.index('value="a-worker"')
    offered = set(re.findall(r'name="scopes" value="(\w+)"', text))
    assert offered == set(SCOPES) - {"decide"}


def test_code_without_a_script_is_all_there(client: Client) -> None:
    sign_in(client, "operator")
    text = page(client)
    assert not re.search(r'class="recipe"[^>]*hidden', text)
    for recipe in RECIPES:
        assert f'href="#{recipe.slug}"' in text
        assert f'id="{recipe.slug}"' in text
    assert not re.search(r"<script(?![^>]*src=)", text)
