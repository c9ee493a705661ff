"""Callbacks: a program is told what became of its request, whatever dies in between."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from approvals import deliveries
from approvals.models import Approval, Delivery
from approvals.settling import expire_due
from console import tasks
from console.callbacks import keys, sending
from console.models import SigningKey
from tests import world
from tests.integration.console.callers import Caller
from tests.integration.console.receivers import Receiver, receiver
from tests.racing import at_once
from traces.models import Event

pytestmark = [pytest.mark.django_db, pytest.mark.req("APR-10")]

REFUND = {"tool": "issue_refund", "arguments": {"order": "A-1", "amount": 40}, "expires_in": 600}


@pytest.fixture
def hook(settings: Any) -> Iterator[Receiver]:
    with receiver() as listening:
        settings.EGRESS = ["https://*", listening.url.removesuffix("/hook")]
        yield listening


@pytest.fixture
def shop() -> Caller:
    return Caller("shop", "service")


@pytest.fixture
def ana() -> Caller:
    return Caller("ana", "operator", "decide")


def ask(shop: Caller, hook: Receiver) -> Any:
    asked = shop.post("/approvals", REFUND | {"callback_url": hook.url})
    assert shop.status == 201, shop.body
    return asked


def decide(ana: Caller, asked: Any, decision: str = "approve", **values: Any) -> Any:
    body = {"decision": decision, "digest": asked["digest"], **values}
    decided = ana.post(f"/approvals/{asked['id']}/decision", body)
    assert ana.status == 200, ana.body
    return decided


def work(now: datetime | None = None) -> None:
    """What workers do: find what is due, and send it."""
    for delivery_id in deliveries.due(now=now or timezone.now()):
        sending.send(delivery_id, now=now or timezone.now())


def later() -> datetime:
    """When the one delivery is due again."""
    at = Delivery.objects.get().next_at
    assert at is not None
    return at


def secret_of(shop: Caller) -> str:
    secret: str = shop.get("/me/webhook-secret")["secret"]
    return secret


def test_a_decision_is_told_signed_and_once(shop: Caller, ana: Caller, hook: Receiver) -> None:
    asked = ask(shop, hook)
    assert asked["callback"] == {"status": "not_due", "attempts": 0, "last_error": ""}
    work()
    assert hook.got == []
    decided = decide(ana, asked)
    assert decided["callback"]["status"] == "waiting"
    work()
    work()
    assert len(hook.got) == 1
    told = hook.verified(secret_of(shop))
    assert told["type"] == "approval.approved"
    assert datetime.fromisoformat(told["timestamp"]).tzinfo is not None
    assert told["data"] == decided | {"callback": None}
    headers, _ = hook.got[0]
    assert headers["content-type"] == "application/json"
    assert shop.get(f"/approvals/{asked['id']}")["callback"] == {
        "status": "delivered",
        "attempts": 1,
        "last_error": "",
    }
    assert Event.objects.filter(name="callback.delivered", object_id=asked["id"]).exists()
    with pytest.raises(WebhookVerificationError):
        hook.verified("whsec_" + "A" * 44)


@pytest.mark.parametrize("way", ["denied", "expired", "withdrawn", "edited"])
def test_every_end_and_an_edit_is_told(shop: Caller, ana: Caller, hook: Receiver, way: str) -> None:
    asked = ask(shop, hook)
    match way:
        case "denied":
            decide(ana, asked, "reject", reason="Not lost.")
        case "expired":
            now = timezone.now()
            Approval.objects.update(expires_at=now)
            expire_due(now=now)
        case "withdrawn":
            shop.post(f"/approvals/{asked['id']}/withdraw")
        case "edited":
            decide(ana, asked, "edit", arguments={"order": "A-1", "amount": 25})
    work()
    told = [hook.verified(secret_of(shop), place) for place in range(len(hook.got))]
    kinds = ["approval.edited", "approval.approved"] if way == "edited" else [f"approval.{way}"]
    assert sorted(item["type"] for item in told) == sorted(kinds)
    assert {item["data"]["arguments"]["amount"] for item in told} == {25 if way == "edited" else 40}
    assert len({headers["webhook-id"] for headers, _ in hook.got}) == len(kinds)


def test_a_failed_attempt_is_made_again_later_and_later_with_the_same_id_and_body(
    shop: Caller, ana: Caller, hook: Receiver
) -> None:
    hook.say(500, 503, 404, 301, 429, 500, Location="http://127.0.0.1/elsewhere")
    decide(ana, asked := ask(shop, hook))
    now, pauses = timezone.now(), []
    for _ in range(6):
        work(now)
        assert deliveries.due(now=timezone.now() + timedelta(seconds=4)) == []
        pauses.append((later() - timezone.now()).total_seconds())
        now = later()
    for pause, least in zip(pauses, deliveries.BACK_OFF, strict=True):
        assert 0.9 * least <= pause <= 1.2 * least
    shown = shop.get(f"/approvals/{asked['id']}")["callback"]
    assert (shown["status"], shown["attempts"]) == ("waiting", 6)
    assert "500" in shown["last_error"]
    work(now)
    assert Delivery.objects.get().status == "delivered"
    assert len(hook.got) == 7  # no redirect was followed
    assert len({headers["webhook-id"] for headers, _ in hook.got}) == 1
    assert len({body for _, body in hook.got}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in hook.got}) > 1


def test_what_is_given_up_is_seen_and_can_be_sent_again(shop: Caller, ana: Caller, hook: Receiver) -> None:
    hook.say(*[500] * 7, body=b"no key sk-abcdefghijklmnopqrstuvwx here" + b"x" * 10_000)
    decide(ana, asked := ask(shop, hook))
    now = timezone.now()
    for _ in range(6):
        work(now)
        now = later()
    work(now)
    assert shop.get("/deliveries", status="waiting")["items"] == []
    (dead,) = shop.get("/deliveries", status="dead", approval=asked["id"])["items"]
    assert (dead["event"], dead["attempts"], dead["answer_status"]) == ("approval.approved", 7, 500)
    assert len(dead["answer"]) == 500
    assert "sk-abc" not in dead["answer"]
    assert Event.objects.filter(name="callback.dead").exists()
    assert Caller("crm", "service").get("/deliveries")["items"] == []
    crm = Caller("crm", "service")
    crm.post(f"/deliveries/{dead['id']}/resend")
    assert crm.status == 404
    amir = Caller("amir", "analyst")
    amir.post(f"/deliveries/{dead['id']}/resend")
    assert amir.status == 403
    again = ana.post(f"/deliveries/{dead['id']}/resend")
    assert (ana.status, again["status"], again["attempts"]) == (200, "waiting", 0)
    ana.post(f"/deliveries/{dead['id']}/resend")
    assert ana.status == 409
    work()
    assert Delivery.objects.get().status == "delivered"
    assert hook.got[0][0]["webhook-id"] == hook.got[-1][0]["webhook-id"]


def test_a_receiver_that_is_gone_hears_no_more(shop: Caller, ana: Caller, hook: Receiver) -> None:
    hook.say(410)
    decide(ana, ask(shop, hook), "edit", arguments={"order": "A-1", "amount": 25})
    work()
    assert len(hook.got) == 1
    assert list(Delivery.objects.values_list("status", flat=True)) == ["dead", "dead"]


@pytest.mark.parametrize("kind", ["nobody listens", "no answer"])
def test_a_receiver_that_does_not_answer_is_tried_again(
    shop: Caller, ana: Caller, hook: Receiver, kind: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(sending, "SECONDS", 0.2)
    asked = ask(shop, hook)
    if kind == "nobody listens":
        settings.EGRESS = ["http://127.0.0.1:9"]
        Approval.objects.filter(pk=asked["id"]).update(callback_url="http://127.0.0.1:9/hook")
    else:
        hook.hold.clear()
    decide(ana, asked)
    work()
    hook.hold.set()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts) == ("waiting", 1)
    assert delivery.error.startswith("The receiver")


@pytest.mark.req("OPS-4")
def test_a_name_that_leads_into_the_house_is_not_reached(
    shop: Caller, ana: Caller, hook: Receiver, settings: Any
) -> None:
    asked = ask(shop, hook)
    settings.EGRESS = ["https://*", hook.url.replace("127.0.0.1", "*").removesuffix("/hook")]
    inside = hook.url.replace("127.0.0.1", "localhost")
    Approval.objects.filter(pk=asked["id"]).update(callback_url=inside)
    decide(ana, asked)
    work()
    assert hook.got == []
    assert "loopback" in Delivery.objects.get().error


def test_a_worker_that_dies_in_between_leaves_it_due(shop: Caller, ana: Caller, hook: Receiver) -> None:
    decide(ana, ask(shop, hook))
    claimed = deliveries.claim(Delivery.objects.get().pk, now=timezone.now())
    assert claimed is not None
    work()
    assert hook.got == []  # it is that worker's
    work(timezone.now() + deliveries.CLAIMED_FOR)
    assert len(hook.got) == 1
    deliveries.failed(claimed, now=timezone.now(), error="It was only slow.")
    assert Delivery.objects.get().status == "delivered"


@pytest.mark.parametrize("died", [False, True])
def test_word_goes_out_after_the_commit_and_the_clock_finds_what_nobody_heard_of(
    shop: Caller,
    ana: Caller,
    hook: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
    died: bool,
) -> None:
    monkeypatch.setattr(tasks.deliver, "apply_async", lambda args, **options: tasks.deliver(*args))
    with django_capture_on_commit_callbacks(execute=not died):
        decide(ana, ask(shop, hook))
    assert len(hook.got) == (0 if died else 1)
    tasks.deliver_due()
    assert len(hook.got) == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_sends_it(shop: Caller, ana: Caller, hook: Receiver) -> None:
    decide(ana, ask(shop, hook))
    at_once(*[work] * 8)
    assert len(hook.got) == 1
    connection.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/hook", "no egress rule"),
        ("https://example.com:8443/hook", "no egress rule"),
        ("ftp://example.com/hook", "only http and https"),
        ("example.com/hook", "without scheme"),
        ("https://", "no host"),
        ("https://[::1", "address"),
        ("https://example.com:99999/", "port"),
        ("https://user:word@example.com/", "user and password"),
        ("https://127.0.0.1/", "loopback"),
        ("https://10.0.0.8/", "private"),
        ("https://169.254.169.254/latest", "metadata"),
        ("https://[::ffff:127.0.0.1]/", "loopback"),
    ],
)
@pytest.mark.req("OPS-4")
def test_an_address_that_no_callback_may_go_to_is_refused_at_once(shop: Caller, url: str, why: str) -> None:
    shop.post("/approvals", REFUND | {"callback_url": url})
    assert shop.status == 422
    assert shop.body["errors"][0]["path"] == ["callback_url"]
    assert why in shop.body["detail"]
    assert not Approval.objects.exists()


def test_a_replaced_secret_signs_along_for_a_day(shop: Caller, ana: Caller, hook: Receiver) -> None:
    old = secret_of(shop)
    assert secret_of(shop) == old
    new = shop.post("/me/webhook-secret")["secret"]
    assert (shop.status, new.startswith("whsec_"), new != old) == (200, True, True)
    decide(ana, ask(shop, hook))
    work()
    assert hook.verified(old) == hook.verified(new)
    tomorrow = timezone.now() + keys.SIGNS_ALONG
    assert keys.signing_secrets(shop.user, now=tomorrow) == [new]
    keys.rotate(shop.user, by="token:shop", now=tomorrow)
    assert SigningKey.objects.count() == 2
    assert secret_of(Caller("crm", "service")) != new
    stored = str([bytes(sealed) for sealed in SigningKey.objects.values_list("sealed", flat=True)])
    assert new[6:] not in stored + str(list(Event.objects.values()))


def test_a_secret_that_nobody_can_read_any_more_is_replaced(
    shop: Caller, ana: Caller, hook: Receiver, settings: Any
) -> None:
    secret_of(shop)
    decide(ana, ask(shop, hook))
    settings.SECRET_KEY = "another key of this house, as long as it should be"
    shop.get("/me/webhook-secret")
    assert (shop.status, "POST" in shop.body["detail"]) == (409, True)
    work()
    assert (Delivery.objects.get().status, hook.got) == ("dead", [])
    secret = shop.post("/me/webhook-secret")["secret"]
    ana.post(f"/deliveries/{Delivery.objects.get().pk}/resend")
    work()
    assert hook.verified(secret)["type"] == "approval.approved"


def test_an_admin_sees_what_was_given_up_and_sends_it_again(
    shop: Caller, ana: Caller, hook: Receiver, client: Client
) -> None:
    hook.say(410)
    asked = ask(shop, hook)
    decide(ana, asked)
    work()
    client.force_login(world.person("ada", "admin"), backend="django.contrib.auth.backends.ModelBackend")
    listed = reverse("admin:approvals_delivery_changelist")
    assert "410" in client.get(listed, {"status": "dead"}).content.decode()
    for page in ("approvals_delivery", "approvals_approval"):
        pk = Delivery.objects.get().pk if page == "approvals_delivery" else asked["id"]
        shown = client.get(reverse(f"admin:{page}_change", args=[pk]))
        assert (shown.status_code, hook.url in shown.content.decode()) == (200, False)
    again = {"action": "send_again", "_selected_action": [str(Delivery.objects.get().pk)]}
    assert "1 are sent again" in client.post(listed, again, follow=True).content.decode()
    work()
    assert Delivery.objects.get().status == "delivered"


def test_the_signature_is_what_the_standard_says() -> None:
    secret, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.fromtimestamp(1614265330, UTC)
    signed = Webhook(secret).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_nobody_is_told_who_did_not_want_to_be(shop: Caller, ana: Caller) -> None:
    asked = shop.post("/approvals", REFUND)
    assert asked["callback"] is None
    decide(ana, asked)
    assert not Delivery.objects.exists()
