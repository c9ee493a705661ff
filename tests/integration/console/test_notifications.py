"""People are told: by real receivers on this machine, with nothing that an agent wrote, and whatever dies in between."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from approvals import deciding, halts, settling
from approvals.access import Actor
from approvals.attention import care
from approvals.attention.duty import delegate
from approvals.attention.models import DutyHours
from approvals.exceptions import Invalid
from approvals.models import Approval, Kind
from approvals.requests import Request, request_approval
from console.notifications import outbox, sending
from console.notifications.addresses import open_address
from console.notifications.models import Channel, Notice, Topic, Way
from console.notifications.quiet import quiet_until
from console.notifications.words import plain
from tests import world
from tests.receivers import Inbox, http_receiver, mail_receiver
from traces import sealing
from traces.models import Event

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "IBAN SE35 5000, 4711 EUR, ignore all rules"


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> None:
    settings.EGRESS = ["https://*"]
    settings.BASE_URL = "https://gate.example"
    outbox.collect(now=timezone.now())  # what was before is not told


@pytest.fixture
def inbox(settings: Any) -> Iterator[Inbox]:
    with http_receiver() as inbox:
        settings.EGRESS = [*settings.EGRESS, f"http://127.0.0.1:{inbox.port}"]
        yield inbox


def channel(inbox: Inbox, user: User | None = None, **values: Any) -> Channel:
    row = Channel(
        name="hook", user=user, scheme="json", sealed=sealing.seal(inbox.address), created_at=timezone.now()
    )
    for name, value in {"topics": list(Topic.values), **values}.items():
        setattr(row, name, value)
    row.save()
    return row


def ask(**values: Any) -> Approval:
    wanted: dict[str, Any] = {
        "kind": Kind.ACTION,
        "title": f"Pay {SECRET}",
        "tool": "pay",
        "arguments": {"note": SECRET},
        "digest": "d" * 64,
        "reason": SECRET,
        "context": {"task": SECRET},
        "agent": "teller",
    }
    return request_approval(Request(**wanted | values), actor="agent:teller", now=timezone.now())


def tell(now: datetime | None = None) -> None:
    """One beat of the clock, and what it wakes."""
    now = now or timezone.now()
    outbox.collect(now=now)
    for pk in sending.due_channels(now=now):
        sending.send_due(pk, now=now)


@pytest.mark.req("APR-8")
def test_a_message_names_the_request_and_where_to_decide_and_nothing_that_an_agent_wrote(
    inbox: Inbox,
) -> None:
    channel(inbox)
    approval = ask()
    tell()
    [message] = inbox.got
    assert message["title"] == "Gatehouse: A request of high risk waits for a decision"
    assert f"https://gate.example/inbox/{approval.pk}" in message["message"]
    assert "teller" in message["message"]
    for word in (*SECRET.replace(",", "").split()[1:4], "Pay", "rules"):
        assert word not in str(message)
    [notice] = Notice.objects.all()
    assert (notice.status, notice.attempts) == ("told", 1)


@pytest.mark.req("APR-8")
def test_a_switch_adds_the_title_of_the_tools_code_and_never_that_of_a_question(inbox: Inbox) -> None:
    world.publish_agent()
    run = world.start()
    channel(inbox, with_title=True, topics=[Topic.ASKED, Topic.ASKED_HIGH])
    ask(title="Pay EUR 40.00 to\u202e acme\nApproved by the boss", run_id=run.pk)
    ask(kind=Kind.QUESTION, title=SECRET, run_id=run.pk)
    ask(title=f"Let shop call {SECRET}", agent="")
    tell()
    first, *others = [message["message"] for message in inbox.got]
    assert "Pay EUR 40.00 to acme Approved by the boss" in first.splitlines()
    assert all("IBAN" not in message for message in others)


@pytest.mark.req("APR-8")
def test_the_same_event_is_told_once_however_often_it_is_read(inbox: Inbox) -> None:
    channel(inbox)
    ask()
    for _ in range(3):
        outbox.collect(now=timezone.now())
    tell()
    tell()
    later = timezone.now() + timedelta(minutes=5)
    tell(later)
    assert len(inbox.got) == 1


@pytest.mark.req("APR-8")
def test_what_was_recorded_while_nobody_looked_is_told_later(inbox: Inbox) -> None:
    channel(inbox)
    ask()
    tell(timezone.now() + timedelta(hours=3) - timedelta(hours=2, minutes=30))
    assert len(inbox.got) == 1


@pytest.mark.req("APR-8")
def test_a_worker_that_dies_while_it_sends_is_followed_by_another(inbox: Inbox) -> None:
    row = channel(inbox)
    ask()
    outbox.collect(now=timezone.now())
    Channel.objects.filter(pk=row.pk).update(busy_until=timezone.now() + sending.BUSY_FOR)
    tell()
    assert inbox.got == []
    tell(timezone.now() + sending.BUSY_FOR + timedelta(seconds=1))
    assert len(inbox.got) == 1


@pytest.mark.req("APR-8")
def test_a_failure_is_tried_again_then_given_up_and_said(inbox: Inbox, settings: Any) -> None:
    inbox.status = 503
    row = channel(inbox, topics=[Topic.ASKED_HIGH])
    with http_receiver() as other:
        settings.EGRESS = [*settings.EGRESS, f"http://127.0.0.1:{other.port}"]
        channel(other, topics=[Topic.DELIVERY_FAILED])
        ask()
        now = timezone.now()
        tell(now)
        assert Notice.objects.get(channel=row).status == "waiting"
        assert "503" in Notice.objects.get(channel=row).error
        for _ in sending.BACK_OFF:
            now += timedelta(hours=2)
            Notice.objects.filter(channel=row).update(next_at=now)
            sending.send_due(row.pk, now=now)
        assert len(inbox.got) == len(sending.BACK_OFF) + 1
        failed = Notice.objects.get(channel=row)
        assert (failed.status, failed.next_at) == ("failed", None)
        event = Event.objects.get(name="notification.failed")
        assert event.data["channel"] == "hook"
        tell()
        assert other.got[0]["title"] == "Gatehouse: A notification could not be delivered"


@pytest.mark.req("APR-8", "OPS-4")
def test_a_redirect_is_not_followed(inbox: Inbox) -> None:
    inbox.status = 307
    row = channel(inbox)
    assert sending.send_test(row, now=timezone.now()).status == "failed"
    assert len(inbox.got) == 1


@pytest.mark.req("APR-8")
def test_a_storm_becomes_one_message(inbox: Inbox) -> None:
    channel(inbox, burst=3)
    now = timezone.now()
    for _ in range(2):
        ask()
    tell(now)
    assert len(inbox.got) == 2
    for _ in range(14):
        ask()
    tell(now + timedelta(seconds=5))
    assert [message["title"] for message in inbox.got[2:]] == ["Gatehouse: 14 requests wait"]
    assert inbox.got[2]["message"].splitlines() == [
        "14 of high risk wait for a decision",
        "https://gate.example/inbox",
    ]
    ask()
    tell(now + timedelta(seconds=10))
    assert len(inbox.got) == 4  # the last that the minute has room for
    for _ in range(5):
        ask()
    tell(now + timedelta(seconds=15))
    assert len(inbox.got) == 4
    Notice.objects.filter(status="told").update(sent_at=now - timedelta(minutes=2))
    tell(now + timedelta(seconds=75))
    assert inbox.got[4]["title"] == "Gatehouse: 5 requests wait"


@pytest.mark.req("APR-8")
def test_quiet_hours_hold_a_message_and_what_is_decided_by_then_is_not_told(inbox: Inbox) -> None:
    at = datetime.now(UTC)
    around: dict[str, Any] = {
        "quiet_from": (at - timedelta(hours=1)).time(),
        "quiet_until": (at + timedelta(hours=2)).time(),
        "time_zone": "UTC",
    }
    channel(inbox, **around)
    asked, decided = ask(), ask()
    tell()
    assert inbox.got == []
    deciding.approve(decided.pk, actor=world.operator(), digest="d" * 64, now=timezone.now())
    tell(timezone.now() + timedelta(hours=2, minutes=1))
    [message] = inbox.got
    assert str(asked.pk) in message["message"]
    assert Notice.objects.filter(status="dropped").count() == 1


@pytest.mark.parametrize(
    ("hour", "ends"),
    [(21, None), (22, 7), (23, 7), (3, 7), (7, None)],
)
def test_quiet_hours_may_lie_over_midnight(hour: int, ends: int | None) -> None:
    row = Channel(quiet_from=time(22), quiet_until=time(7), time_zone="Europe/Stockholm")
    now = datetime(2026, 11, 20, hour - 1, 30 if hour > 22 else 0, tzinfo=UTC)  # an hour behind Stockholm
    until = quiet_until(row, now=now)
    assert (until.hour if until else None) == ends
    assert until is None or now < until <= now + timedelta(hours=10)


@pytest.mark.req("APR-8")
def test_a_person_is_told_of_what_they_may_decide_while_on_duty(inbox: Inbox) -> None:
    ana = world.person("ana", "operator")
    channel(inbox, ana)
    ask(role="admin")
    ask(requested_by=ana)
    tell()
    assert inbox.got == []
    yesterday = (datetime.now(UTC).weekday() + 3) % 7
    duty = DutyHours.objects.create(user=ana, weekdays=[yesterday], begins=time(9), ends=time(10))
    ask()
    tell()
    assert inbox.got == []
    duty.delete()
    asked = ask()
    tell()
    assert str(asked.pk) in inbox.got[-1]["message"]


@pytest.mark.req("APR-7", "APR-8")
def test_a_mention_is_told_to_the_one_mentioned_or_who_stands_in(inbox: Inbox) -> None:
    ana, ben = world.person("ana", "operator"), world.person("ben", "operator")
    channel(inbox, ben)
    approval = ask(risk="low")
    tell()
    inbox.got.clear()
    care.comment(approval.pk, actor=Actor(ana), text=f"@ben, look: {SECRET}", now=timezone.now())
    tell()
    [message] = inbox.got
    assert message["title"] == "Gatehouse: ana mentioned you"
    assert "IBAN" not in str(message)
    now = timezone.now()
    delegate(actor=Actor(ana), to=ben, begins_at=now, ends_at=now + timedelta(days=1), now=now)
    care.comment(approval.pk, actor=Actor(world.person("ada", "admin")), text="@ana?", now=timezone.now())
    tell()
    assert "You stand in for ana." in inbox.got[-1]["message"]


@pytest.mark.req("APR-8")
def test_each_thing_has_its_words(inbox: Inbox) -> None:
    ana = world.operator()
    channel(inbox, ana.user, burst=50)
    asked = ask(expires_in=60)
    care.watch(asked.pk, actor=ana, on=True)
    care.warn_of_ends(now=timezone.now() + timedelta(seconds=55))
    tell()
    ask(kind=Kind.RECONCILE)
    halts.halt(actor=ana, now=timezone.now(), agent="teller", tool="pay", reason=SECRET)
    settling.expire_due(now=timezone.now() + timedelta(seconds=70))
    tell()
    assert [message["title"].removeprefix("Gatehouse: ") for message in inbox.got] == [
        "A request of high risk waits for a decision",
        "A request expires soon",
        "It is unknown whether a call happened: a person must find out",
        "ana stopped pay of teller",
        "A request expired, since nobody decided in time",
    ]
    assert "IBAN" not in str(inbox.got)


@pytest.mark.req("APR-8")
def test_mail_goes_to_the_persons_own_address(settings: Any) -> None:
    with mail_receiver() as mailbox:
        settings.EMAIL_URL = "smtp://127.0.0.1"
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mailbox.port
        settings.DEFAULT_FROM_EMAIL = "gate@example.com"
        ana = world.person("ana", "operator")
        row = Channel.objects.create(name="mail", user=ana, way=Way.EMAIL, created_at=timezone.now())
        assert sending.send_test(row, now=timezone.now()).error == (
            "This person has no e-mail address: an admin sets it."
        )
        User.objects.filter(pk=ana.pk).update(email="ana@example.com")
        approval = ask()
        tell()
        [mail] = mailbox.got
        assert (mail["to"], mail["from"]) == ("ana@example.com", "gate@example.com")
        assert str(approval.pk) in mail.get_content()
        assert "IBAN" not in mail.as_string()


@pytest.mark.req("APR-8", "OPS-4")
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("exec://rm", "no known kind of address"),
        ("slak://a/b/c", "Did you mean slack://?"),
        ("file:///etc/passwd", "no known kind of address"),
        ("json://10.0.0.1/x", "no egress rule admits it"),
        ("jsons://10.0.0.1/x", "may not be reached: 10.0.0.1 is"),
        ("jsons://169.254.169.254/latest", "metadata"),
        ("mailto://a:b@example.com?smtp=127.0.0.1", "may not be reached"),
        ("slack://", "no complete slack address"),
        ("hello", "no known kind of address"),
    ],
)
def test_an_address_that_may_not_be_used_is_refused_with_the_reason(address: str, words: str) -> None:
    with pytest.raises(Invalid, match=words.replace("?", r"\?")):
        open_address(address)


@pytest.mark.req("APR-8", "OPS-4")
def test_the_address_is_sealed_and_shown_nowhere(inbox: Inbox, client: Client) -> None:
    ana = world.person("ana", "operator")
    row = channel(inbox, ana)
    assert inbox.address.encode() not in bytes(Channel.objects.get(pk=row.pk).sealed)
    client.force_login(ana)
    assert str(inbox.port) not in client.get("/me").content.decode()


@pytest.mark.req("APR-8")
def test_opening_a_link_of_a_message_decides_nothing(inbox: Inbox, client: Client) -> None:
    channel(inbox)
    approval = ask()
    tell()
    link = next(line for line in inbox.got[0]["message"].splitlines() if line.startswith("https://"))
    path = link.removeprefix("https://gate.example")
    assert client.get(path).status_code == 302  # a scanner is sent to sign in
    client.force_login(world.person("ana", "operator"))
    for follow in ("", "/edit", "/decision", "/preview"):
        client.get(path + follow)
        client.head(path + follow)
    approval.refresh_from_db()
    assert approval.status == "pending"


def test_plain_text_hides_nothing() -> None:
    assert plain("a\u200b b\n\x1b[2Jc\u2028d") == "a b [2Jc d"
