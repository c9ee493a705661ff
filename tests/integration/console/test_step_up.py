"""Step-up: what is risky is approved with a second factor, by whichever door."""

import re
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from agents.providers.routing import using
from agents.providers.scripted import Scripted, call
from approvals.access import Actor
from approvals.exceptions import Invalid, NotAllowed
from approvals.models import Approval, Decision, Grant, SecondFactor
from approvals.stepup import codes, factors
from console.gateway.own_tools import OWN
from console.people.entry import FRESH
from console.people.links import make_link
from tests import world
from tests.integration.console.callers import Caller
from tests.racing import at_once
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("OPS-3", "APR-5")]


@pytest.fixture
def approval() -> Approval:
    """A payment whose rule asks for a second factor."""
    with using(Scripted([call("pay", account="acme", amount=40)])):
        world.publish_agent(policy=[{"tool": "pay", "then": "require", "step_up": True}])
        return world.pending(world.carry_on(world.start()))


@pytest.fixture
def ana(client: Client) -> Client:
    client.force_login(world.person("ana", "operator"))
    return client


def enrol(client: Client) -> tuple[str, list[str]]:
    """Set a factor up on the page, as a phone does: its secret, and the recovery codes."""
    client.post("/me/second-factor/begin")
    page = client.get("/me/second-factor").content.decode()
    found = re.search(r'class="secret">([A-Z2-7 ]+)<', page)
    assert found
    secret = found[1].replace(" ", "")
    assert "<svg" in page
    assert "style=" not in page.split('class="qr"')[1].split("</svg>")[0]
    done = client.post("/me/second-factor/confirm", {"code": pyotp.TOTP(secret).now()})
    assert done.status_code == 200
    shown = re.findall(r"<li><code>([A-Z2-7-]{19})</code>", done.content.decode())
    assert len(shown) == codes.RECOVERY_CODES
    assert shown[0] not in client.get("/me/second-factor").content.decode()
    return secret, shown


def later(client: Client) -> None:
    """The session's proof has grown old."""
    session = client.session
    session["second_factor_at"] = (timezone.now() - timedelta(hours=1)).isoformat()
    session.save()


def next_code(secret: str) -> str:
    """The code that follows the ones used so far: a phone half a minute ahead."""
    return pyotp.TOTP(secret).at(timezone.now() + timedelta(seconds=codes.STEP))


def decide(client: Client, approval: Approval, decision: str = "approve", **values: Any) -> Any:
    data = {"decision": decision, "digest": approval.digest, "confirmed": "on"} | values
    return client.post(f"/inbox/{approval.pk}/decision", data, headers={"HX-Request": "true"})


def test_without_a_second_factor_it_is_not_approved_and_says_what_to_do(
    ana: Client, approval: Approval
) -> None:
    refused = decide(ana, approval)
    assert refused.status_code == 403
    assert "/me/second-factor" in refused.content.decode()
    assert not Decision.objects.exists()
    assert decide(ana, approval, "reject", reason="No.").status_code == 200
    assert Approval.objects.get(pk=approval.pk).status == "denied"


def test_a_code_approves_once_counts_for_a_while_and_is_audited(ana: Client, approval: Approval) -> None:
    secret, _ = enrol(ana)
    later(ana)
    card = ana.get(f"/inbox/{approval.pk}").content.decode()
    assert 'autocomplete="one-time-code"' in card
    assert decide(ana, approval).status_code == 403
    assert decide(ana, approval, code="000000").status_code == 422
    used = str(pyotp.TOTP(secret).at(timezone.now() - timedelta(seconds=codes.STEP)))
    replayed = decide(ana, approval, code=used)
    assert replayed.status_code == 422
    assert "used before" in replayed.content.decode()
    assert decide(ana, approval, code=next_code(secret)).status_code == 200
    assert Decision.objects.get().user.username == "ana"
    assert Event.objects.get(name="approval.approved").data["stepped_up"] is True
    assert Approval.objects.get(pk=approval.pk).votes.get().stepped_up
    told = Event.objects.filter(name__startswith="step_up.").order_by("pk").values_list("name", flat=True)
    assert list(told) == ["step_up.enrolled", "step_up.failed", "step_up.failed", "step_up.proven"]
    stored = "".join(str(event.data) for event in Event.objects.all())
    assert secret not in stored
    assert used not in stored


def test_an_edit_and_a_bulk_decision_need_it_too(ana: Client, approval: Approval) -> None:
    edit = {"field.account": "acme", "field.amount": "30"}
    assert decide(ana, approval, "edit", **edit).status_code == 403
    frozen = f"{approval.pk}:{approval.digest}"
    listed = ana.post("/inbox/bulk", {"chosen": frozen}).content.decode()
    assert "takes your second factor" in listed
    data = {"chosen": frozen, "ticked": frozen, "count": 1, "decision": "approve", "reason": ""}
    assert "second factor" in ana.post("/inbox/bulk/decision", data).content.decode()
    assert Approval.objects.get(pk=approval.pk).revision == 1
    enrol(ana)  # which proves it as well
    assert decide(ana, approval, "edit", **edit).status_code == 200
    assert Event.objects.get(name="approval.approved").data["stepped_up"] is True


def test_a_token_can_t_go_round_it(ana: Client, approval: Approval) -> None:
    enrol(ana)
    program = Caller("ana", "operator", "decide", "read")
    told = program.post(
        f"/approvals/{approval.pk}/decision", {"decision": "approve", "digest": approval.digest}
    )
    assert program.status == 403
    assert told["type"].endswith("step_up_needed")
    assert "token can't" in told["detail"]
    item = {"id": str(approval.pk), "digest": approval.digest, "decision": "approve"}
    several = program.post("/approvals/bulk-decision", {"decisions": [item]})
    assert several["results"][0]["result"] == "not_allowed"
    assert program.get(f"/approvals/{approval.pk}")["step_up"] is True
    assert not Decision.objects.exists()


def test_by_the_setting_risk_asks_for_it_and_no_grant_goes_round(ana: Client, settings: Any) -> None:
    settings.STEP_UP_RISK = "high"
    with using(Scripted([call("pay", account="acme", amount=40)])):
        world.publish_agent()
        approval = world.pending(world.carry_on(world.start()))
    assert decide(ana, approval).status_code == 403
    limits = {
        "digest": approval.digest,
        "uses": "10",
        "seconds": "3600",
        "limit.account": "any",
        "limit.amount": "any",
    }
    assert ana.post(f"/inbox/{approval.pk}/grant", limits).status_code == 403
    assert not Grant.objects.exists()
    secret, _ = enrol(ana)
    later(ana)
    assert ana.post(f"/inbox/{approval.pk}/grant", limits | {"code": next_code(secret)}).status_code == 200
    settings.STEP_UP_RISK = ""
    assert decide(ana, approval).status_code == 200
    assert "stepped_up" not in Event.objects.get(name="approval.approved").data


def test_wrong_codes_are_limited_and_recovery_codes_count_once() -> None:
    ana = world.person("ana", "operator")
    now = timezone.now()
    factors.begin(ana, now=now)
    totp = pyotp.TOTP(factors.pending_secret(ana))
    spare = factors.confirm(ana, totp.at(now), now=now)
    factors.verify(ana, spare[0], now=now)
    with pytest.raises(Invalid):
        factors.verify(ana, spare[0], now=now)
    for _ in range(codes.FAILURES - 1):
        with pytest.raises(Invalid):
            factors.verify(ana, "123", now=now)
    at = now + timedelta(seconds=codes.STEP)
    with pytest.raises(NotAllowed, match="Too many"):
        factors.verify(ana, totp.at(at), now=at)
    at = now + codes.FIRST_BLOCK + timedelta(seconds=codes.STEP)
    factors.verify(ana, totp.at(at), now=at)
    assert SecondFactor.objects.get(user=ana).failures == 0
    assert b"otpauth" not in bytes(SecondFactor.objects.get(user=ana).sealed)


def test_an_admin_takes_away_another_s_and_proofs_end_with_it(ana: Client, approval: Approval) -> None:
    enrol(ana)
    ada = Client()
    ada.force_login(world.person("ada", "admin"))
    user = world.person("ana", "operator")
    assert ada.post(f"/admin/approvals/secondfactor/{user.pk}/delete/", {"post": "yes"}).status_code == 302
    assert Event.objects.get(name="step_up.reset").actor == "user:ada"
    assert decide(ana, approval).status_code == 403
    enrol(ada)
    own = world.person("ada", "admin")
    assert ada.post(f"/admin/approvals/secondfactor/{own.pk}/delete/", {"post": "yes"}).status_code == 403
    with pytest.raises(NotAllowed, match="Another admin"):
        factors.reset(own, actor=Actor(own), now=timezone.now())
    call_command("second_factor", "reset", "ada")
    assert not SecondFactor.objects.exists()


def test_what_was_approved_before_the_rule_asked_for_it_is_asked_again(ana: Client) -> None:
    with using(Scripted([call("pay", account="acme", amount=40)])):
        world.publish_agent()
        run = world.carry_on(world.start())
        first = world.pending(run)
        assert decide(ana, first).status_code == 200
        world.publish_agent(policy=[{"tool": "pay", "then": "require", "step_up": True}])
        world.carry_on(run)
    assert world.pending(run).pk != first.pk


def test_one_code_sent_from_two_places_at_once_is_taken_once() -> None:
    ana, now = world.person("ana", "operator"), timezone.now()
    factors.begin(ana, now=now)
    totp = pyotp.TOTP(factors.pending_secret(ana))
    spare = factors.confirm(ana, totp.at(now), now=now)
    at = now + timedelta(seconds=codes.STEP)

    for code in (totp.at(at), spare[0]):
        came = at_once(*[partial(factors.verify, ana, code, now=at)] * 4)
        assert sorted(type(each).__name__ for each in came) == ["Invalid", "Invalid", "Invalid", "NoneType"]
    assert Event.objects.filter(name="step_up.proven").count() == 2


def test_neither_another_person_s_code_nor_their_session_proves_anything(
    ana: Client, approval: Approval
) -> None:
    enrol(ana)
    ben = Client()
    ben.force_login(world.person("ben", "operator"))
    bens, _ = enrol(ben)
    later(ana)
    assert decide(ana, approval, code=next_code(bens)).status_code == 422
    later(ben)
    assert decide(ben, approval, code=next_code(bens)[:-1]).status_code == 422
    # Ben has proven himself; then Ana signs in at the same browser, and has what is his in her cookie jar.
    assert ben.post("/me/second-factor/prove", {"code": next_code(bens)}).status_code == 302
    ben.get(urlsplit(make_link(world.person("ana", "operator"))).path)
    assert ben.get("/me").context["request"].user.get_username() == "ana"
    assert decide(ben, approval).status_code == 403
    assert not Decision.objects.exists()


def test_what_was_proven_here_opens_no_other_session_of_the_same_person(
    ana: Client, approval: Approval
) -> None:
    enrol(ana)
    stolen = Client()
    stolen.force_login(world.person("ana", "operator"))
    assert decide(stolen, approval).status_code == 403
    assert stolen.post("/me/second-factor/remove", {"code": ""}).status_code == 422
    assert stolen.post("/me/second-factor/begin").status_code == 422
    assert SecondFactor.objects.filter(confirmed_at__isnull=False).count() == 1
    assert decide(ana, approval).status_code == 200


@pytest.mark.req("OPS-4")
def test_a_session_left_open_brings_no_second_factor_of_its_own(ana: Client) -> None:
    ana.post("/me/second-factor/begin")
    assert 'class="secret"' in ana.get("/me/second-factor").content.decode()
    session = ana.session
    session["signed_in_at"] = (timezone.now() - FRESH).isoformat()
    session.save()
    page = ana.get("/me/second-factor").content.decode()
    assert "Sign in again" in page
    assert 'class="secret"' not in page  # what waits to be confirmed is not shown either
    assert ana.post("/me/second-factor/begin").status_code == 422
    assert ana.post("/me/second-factor/confirm", {"code": "000000"}).status_code == 422
    again = ana.post("/sign-out", {"next": "/sign-in?next=/me/second-factor"})
    assert again.headers["Location"] == "/sign-in?next=/me/second-factor"
    ana.force_login(world.person("ana", "operator"))
    assert 'class="secret"' in ana.get("/me/second-factor").content.decode()


def test_no_tool_of_the_gateway_decides() -> None:
    assert set(OWN) == {"request_approval", "get_approval", "start_run", "get_run"}
