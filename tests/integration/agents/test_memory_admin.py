"""Memories in the admin: admins read and delete them, and it is told who did."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, Memory
from tests import world
from traces.models import Event

pytestmark = [pytest.mark.django_db, pytest.mark.req("MEM-1")]


@pytest.fixture
def memory() -> Memory:
    agent = Agent.objects.get(pk=world.publish_agent().agent_id)
    return Memory.objects.create(
        agent=agent,
        subject_digest="d" * 64,
        kind="episodic",
        text="<b>Acme</b> likes tea.",
        embedding=[1.0, 0.0],
        created_at=timezone.now(),
    )


def test_an_admin_reads_and_deletes(client: Client, memory: Memory) -> None:
    client.force_login(world.person("ada", "admin"))
    page = client.get(reverse("admin:agents_memory_changelist")).content.decode()
    assert "&lt;b&gt;Acme&lt;/b&gt; likes tea." in page
    page = client.get(reverse("admin:agents_memory_change", args=[memory.pk])).content.decode()
    assert "&lt;b&gt;Acme&lt;/b&gt; likes tea." in page
    assert (
        client.post(reverse("admin:agents_memory_change", args=[memory.pk]), {"text": "x"}).status_code == 403
    )
    assert (
        client.post(reverse("admin:agents_memory_delete", args=[memory.pk]), {"post": "yes"}).status_code
        == 302
    )
    assert not Memory.objects.exists()
    event = Event.objects.get(name="memory.deleted")
    assert (event.actor, event.object_id) == ("user:ada", str(memory.pk))
    assert "tea" not in str(event.data)


def test_an_operator_does_not(client: Client, memory: Memory) -> None:
    client.force_login(world.person("ole", "operator"))
    for name, args in (("changelist", []), ("change", [memory.pk])):
        assert client.get(reverse(f"admin:agents_memory_{name}", args=args)).status_code in (302, 403)
