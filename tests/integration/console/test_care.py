"""The pages of the people around a request, and of each person."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from approvals.access import Actor
from approvals.attention.models import Care, Comment, Delegation, DutyHours
from approvals.deciding import approve
from approvals.models import Approval, Halt, Kind
from approvals.requests import Request, request_approval
from console.models import Channel, Notice, Profile
from tests import world

pytestmark = pytest.mark.django_db

HOSTILE = '<img src=x onerror="alert(1)">\u202eevil @ben'
FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def approval() -> Approval:
    wanted = Request(kind=Kind.ACTION, title="Pay", tool="pay", arguments={}, digest="d" * 64, agent="teller")
    return request_approval(wanted, actor="agent:teller", now=timezone.now())


def browser(name: str, *roles: str) -> Client:
    client = Client()
    client.force_login(world.person(name, *(roles or ("operator",))))
    return client


def words(response: Any) -> str:
    return " ".join(response.content.decode().split())


@pytest.mark.req("APR-7")
def test_the_card_shows_who_has_it_and_what_happened(approval: Approval) -> None:
    ana, ben = browser("ana"), browser("ben")
    path = f"/inbox/{approval.pk}"
    assert "Nobody has taken this up" in words(ana.get(path))
    assert "<strong>You</strong> have this" in words(
        ana.post(f"{path}/take", {"held_by": ""}, headers=FRAGMENT)
    )
    refused = ben.post(f"{path}/take", {"held_by": ""}, headers=FRAGMENT)
    assert refused.status_code == 409
    assert "ana took this meanwhile" in words(refused)
    assert "Take over from ana" in words(refused)
    assert ben.post(f"{path}/take", {"held_by": "ana"}).status_code == 302
    assert ben.post(f"{path}/give", {"to": "ana"}, headers=FRAGMENT).status_code == 200
    held = Care.objects.get()
    assert held.holder is not None
    assert held.holder.get_username() == "ana"
    ana.post(f"{path}/comment", {"text": HOSTILE}, headers=FRAGMENT)
    approve(approval.pk, actor=world.operator("ben"), digest="d" * 64, now=timezone.now(), reason="Fine.")
    page = words(ana.get(path))
    places = [
        page.index(part)
        for part in (
            "<strong>teller</strong> asked",
            "<strong>ana</strong> saw it",
            "<strong>ana</strong> took it up",
            "<strong>ben</strong> took it up",
            "<strong>ben</strong> gave it to ana",
            "<strong>ana</strong> said",
            "&lt;img src=x",
            "<strong>ben</strong> approved it",
        )
    ]
    assert places == sorted(places)
    assert "<img" not in page
    assert "\u202e" not in page
    assert "I take this" not in page


@pytest.mark.req("APR-7", "OPS-3")
def test_an_analyst_comments_and_watches_but_takes_nothing(approval: Approval) -> None:
    amir = browser("amir", "analyst")
    path = f"/inbox/{approval.pk}"
    assert amir.post(f"{path}/take", {"held_by": ""}, headers=FRAGMENT).status_code == 409
    assert amir.post(f"{path}/comment", {"text": "Look at the sum."}, headers=FRAGMENT).status_code == 200
    assert "Stop watching" in words(amir.get(f"{path}/held"))
    assert "Watch" in words(amir.post(f"{path}/watch", {"on": "no"}, headers=FRAGMENT))
    assert amir.post(f"{path}/comment", {"text": " "}, headers=FRAGMENT).status_code == 422
    assert (Care.objects.filter(holder__isnull=False).exists(), Comment.objects.count()) == (False, 1)
    robot = browser("robot", "service")
    assert robot.post(f"{path}/comment", {"text": "Hello."}).status_code == 403


@pytest.mark.req("APR-8")
def test_a_person_sets_up_how_to_be_told(settings: Any) -> None:
    settings.EGRESS = ["https://*"]
    ana = browser("ana")
    assert "Nobody tells you anything" in words(ana.get("/me"))
    wanted = {
        "name": "Phone",
        "way": "address",
        "address": "ntfys://secret-topic-4711",
        "topics": ["asked_high", "mentioned"],
        "quiet_from": "22:00",
        "quiet_until": "07:00",
        "time_zone": "Europe/Stockholm",
        "burst": "3",
    }
    for wrong, said in (
        ({"address": "exec://x"}, "no known kind"),
        ({"address": ""}, "Write the address"),
        ({"time_zone": "Mars"}, "no time zone"),
        ({"quiet_until": ""}, "beginning and an end"),
    ):
        response = ana.post("/me/channels", wanted | wrong)
        assert response.status_code == 422
        assert said in words(response)
    assert ana.post("/me/channels", wanted).status_code == 302
    row = Channel.objects.get()
    assert (row.user.get_username(), row.scheme, row.burst) == ("ana", "ntfys", 3)  # type: ignore[union-attr]
    sealed = bytes(row.sealed)
    page = words(ana.get(f"/me/channels/{row.pk}"))
    assert "Phone" in page
    assert "4711" not in page
    ana.post(f"/me/channels/{row.pk}", wanted | {"address": "", "name": "Pocket"})
    row.refresh_from_db()
    assert (row.name, bytes(row.sealed)) == ("Pocket", sealed)
    ben = browser("ben")
    for path in ("", "/test", "/delete"):
        assert ben.post(f"/me/channels/{row.pk}{path}", wanted).status_code == 404
    Notice.objects.create(
        channel=row, topic="asked", status="failed", error="It said 503.", created_at=timezone.now()
    )
    assert "It said 503." in words(ana.get("/me"))
    ana.post(f"/me/channels/{row.pk}/delete")
    assert not Channel.objects.exists()


@pytest.mark.req("APR-7")
def test_a_person_says_when_they_work_and_who_stands_in() -> None:
    ana = browser("ana")
    world.person("ben", "operator")
    hours = {"weekdays": ["0", "4"], "begins": "09:00", "ends": "17:00", "time_zone": "Asia/Tokyo"}
    assert ana.post("/me/duty", hours | {"ends": "09:00"}).status_code == 422
    assert ana.post("/me/duty", hours).status_code == 302
    row = DutyHours.objects.get()
    assert "Mon, Fri 09:00 to 17:00 Asia/Tokyo" in words(ana.get("/me"))
    browser("ben").post(f"/me/duty/{row.pk}/delete")
    assert DutyHours.objects.exists()
    ana.post(f"/me/duty/{row.pk}/delete")
    assert not DutyHours.objects.exists()
    begins = timezone.now()
    away = {
        "to": "ben",
        "begins_at": f"{begins:%Y-%m-%dT%H:%M}",
        "ends_at": f"{begins + timedelta(days=3):%Y-%m-%dT%H:%M}",
        "time_zone": "UTC",
    }
    assert ana.post("/me/away", away | {"ends_at": away["begins_at"]}).status_code == 422
    assert ana.post("/me/away", away).status_code == 302
    assert "ben stands in" in words(ana.get("/me"))
    assert "You stand in for ana" in words(browser("ben").get("/me"))
    ana.post(f"/me/away/{Delegation.objects.get().pk}/end")
    assert "ben stands in" not in words(ana.get("/me"))


@pytest.mark.req("OPS-5")
def test_keys_of_one_letter_can_be_turned_off() -> None:
    ana = browser("ana")
    assert 'data-keys="off"' not in words(ana.get("/inbox"))
    ana.post("/me/settings", {"sound": "on"})
    page = words(ana.get("/inbox"))
    assert 'data-keys="off"' in page
    assert 'data-sound="on"' in page
    assert Profile.objects.get().single_keys is False


@pytest.mark.req("APR-11")
def test_a_tool_is_stopped_by_name(approval: Approval) -> None:
    world.publish_agent()
    ana = browser("ana")
    wrong = ana.post("/halt", {"agent": "", "tool": "payy", "reason": "odd"})
    assert wrong.status_code == 422
    assert "nothing was stopped" in words(wrong)
    ana.post("/halt", {"agent": "", "tool": "pay", "reason": "odd"})
    assert "the tool pay is stopped" in words(ana.get("/runs"))
    assert "stopped: whether this waits" in words(ana.get(f"/inbox/{approval.pk}"))
    ana.post("/halt/lift", {"agent": "", "tool": "pay"})
    assert Halt.objects.get().lifted_by is not None


@pytest.mark.req("APR-8")
def test_an_admin_sets_up_a_channel_of_the_team(settings: Any) -> None:
    settings.EGRESS = ["https://*"]
    ada = Client()
    user = world.person("ada", "admin")
    user.is_staff = True
    user.save()
    ada.force_login(user)
    data = {
        "name": "Room",
        "way": "address",
        "address": "ntfys://secret-topic-4711",
        "topics": ["asked_high"],
        "time_zone": "UTC",
        "burst": "5",
        "notices-TOTAL_FORMS": "0",
        "notices-INITIAL_FORMS": "0",
    }
    response = ada.post("/admin/console/channel/add/", data, follow=True)
    row = Channel.objects.get()
    assert (row.user, row.scheme) == (None, "ntfys")
    assert "4711" not in words(response) + words(ada.get(f"/admin/console/channel/{row.pk}/change/"))
    step = {"position": "1", "minutes": "5", "unless": "opened", "role": "admin"}
    assert "Name a person or a role" in words(
        ada.post("/admin/approvals/escalationstep/add/", step | {"user": str(user.pk)})
    )
    assert ada.post("/admin/approvals/escalationstep/add/", step).status_code == 302
    for path in ("dutyhours", "delegation", "escalationstep"):
        assert ada.get(f"/admin/approvals/{path}/").status_code == 200


def test_a_stranger_is_not_given_a_request(approval: Approval) -> None:
    ana = browser("ana")
    for to in ("nobody", "robot", ""):
        world.person("robot", "service")
        response = ana.post(f"/inbox/{approval.pk}/give", {"to": to}, headers=FRAGMENT)
        assert response.status_code == 409
    assert Actor(world.person("robot", "service")).roles == {"service"}
