"""A person's own page: how they are told, when they are on duty, who stands in, keys and sound."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals.access import Actor
from approvals.attention import duty
from approvals.attention.models import Delegation, DutyHours
from approvals.exceptions import GateError
from approvals.stepup.factors import factor_of
from console.models import Channel, Notice
from console.notifications import push, sending
from console.notifications.models import NoticeStatus, Way
from console.people.entry import actor_of, people_only
from console.people.forms import AwayForm, ChannelForm, DutyForm, ProfileForm
from console.people.profile import profile_of
from traces import sealing
from traces.recorder import record

SHOWN = 20  # of the latest notices of a channel


@require_safe
@people_only
def me(request: HttpRequest) -> HttpResponse:
    """All of it."""
    return _page(request)


@require_POST
@people_only
def settings_of_person(request: HttpRequest) -> HttpResponse:
    """Keys and sound."""
    form = ProfileForm(request.POST, instance=profile_of(request.user))
    if form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("me")
    return _page(request, status=422)


@require_POST
@people_only
def add_channel(request: HttpRequest) -> HttpResponse:
    """A new channel of this person."""
    actor = actor_of(request)
    form = ChannelForm(request.POST, instance=Channel(user=actor.user))
    if not form.is_valid():
        return _page(request, status=422, channel_form=form)
    row = form.save()
    _record("channel.added", row, actor)
    messages.success(request, f"You are told by {row.name} from now on. Send a test to see whether it works.")
    return redirect("me")


@require_http_methods(["GET", "HEAD", "POST"])
@people_only
def change_channel(request: HttpRequest, channel_id: int) -> HttpResponse:
    """One channel, with what was told by it."""
    actor = actor_of(request)
    row = _own(actor, channel_id)
    form = ChannelForm(request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        _record("channel.changed", form.save(), actor)
        messages.success(request, "Saved.")
        return redirect(request.path)
    notices = Notice.objects.filter(channel=row).order_by("-created_at")[:SHOWN]
    context = {"channel": row, "form": form, "notices": notices}
    return render(request, "me/channel.html", context, status=422 if form.errors else 200)


@require_POST
@people_only
def test_channel(request: HttpRequest, channel_id: int) -> HttpResponse:
    """Send a test at once."""
    notice = sending.send_test(_own(actor_of(request), channel_id), now=timezone.now())
    if notice.status == NoticeStatus.TOLD:
        messages.success(request, "The test was sent. See whether it arrived.")
    else:
        messages.error(request, f"The test was not sent: {notice.error}")
    return redirect(f"/me/channels/{channel_id}")


@require_POST
@people_only
def delete_channel(request: HttpRequest, channel_id: int) -> HttpResponse:
    """Be told by it no more."""
    actor = actor_of(request)
    row = _own(actor, channel_id)
    _record("channel.deleted", row, actor)
    row.delete()
    messages.success(request, f"{row.name} is deleted, with its address.")
    return redirect("me")


@require_POST
@people_only
def add_browser(request: HttpRequest) -> HttpResponse:
    """Tell this person in this browser, which has subscribed."""
    actor, form = actor_of(request), request.POST
    name = " ".join(form.get("name", "").replace("\x00", "").split())[:80] or "A browser"
    try:
        made = push.subscription(form.get("endpoint", ""), form.get("p256dh", ""), form.get("auth", ""))
    except GateError as error:
        messages.error(request, str(error))
        return redirect("me")
    row = Channel.objects.create(
        name=name,
        user=actor.user,
        way=Way.PUSH,
        scheme="push",
        sealed=sealing.seal(made),
        created_at=timezone.now(),
    )
    _record("channel.added", row, actor)
    messages.success(request, f"You are told in {row.name} from now on. Send a test to see whether it works.")
    return redirect(f"/me/channels/{row.pk}")


@require_safe
def push_worker(request: HttpRequest) -> FileResponse:
    """The script that shows messages. It lies at the root, since a worker serves only what is below it."""
    file = (settings.ROOT / "static" / "push-worker.js").open("rb")
    return FileResponse(file, content_type="text/javascript", headers={"Cache-Control": "no-cache"})


@require_POST
@people_only
def add_duty(request: HttpRequest) -> HttpResponse:
    """Hours in which this person is on duty."""
    actor = actor_of(request)
    form = DutyForm(request.POST, instance=DutyHours(user=actor.user))
    if not form.is_valid():
        return _page(request, status=422, duty_form=form)
    row = form.save()
    data = {"user": actor.user.get_username(), "hours": str(row), "weekdays": row.weekdays}
    record("duty.added", actor=str(actor), object_id=str(row.pk), data=data)
    return redirect("me")


@require_POST
@people_only
def delete_duty(request: HttpRequest, duty_id: int) -> HttpResponse:
    """No more."""
    actor = actor_of(request)
    if DutyHours.objects.filter(pk=duty_id, user=actor.user).delete()[0]:
        data = {"user": actor.user.get_username()}
        record("duty.deleted", actor=str(actor), object_id=str(duty_id), data=data)
    return redirect("me")


@require_POST
@people_only
def begin_delegation(request: HttpRequest) -> HttpResponse:
    """Say who stands in."""
    actor = actor_of(request)
    form = AwayForm(request.POST, people=_others(actor))
    if form.is_valid():
        try:
            duty.delegate(
                actor=actor,
                to=form.cleaned_data["to"],
                begins_at=form.moment("begins_at"),
                ends_at=form.moment("ends_at"),
                now=timezone.now(),
            )
        except GateError as error:
            form.add_error(None, str(error))
        else:
            return redirect("me")
    return _page(request, status=422, away_form=form)


@require_POST
@people_only
def end_delegation(request: HttpRequest, delegation_id: int) -> HttpResponse:
    """Be back."""
    try:
        duty.end_delegation(delegation_id, actor=actor_of(request), now=timezone.now())
    except GateError as error:
        messages.warning(request, str(error))
    return redirect("me")


def _page(request: HttpRequest, *, status: int = 200, **forms: Any) -> HttpResponse:
    actor, now = actor_of(request), timezone.now()
    away = Delegation.objects.filter(ends_at__gt=now).select_related("user", "to").order_by("begins_at")
    context = {
        "channels": _with_trouble(Channel.objects.filter(user=actor.user)),
        "duty": DutyHours.objects.filter(user=actor.user).order_by("pk"),
        "away": away.filter(user=actor.user),
        "stands_in": away.filter(to=actor.user),
        "channel_form": ChannelForm(),
        "duty_form": DutyForm(),
        "away_form": AwayForm(people=_others(actor)),
        "profile_form": ProfileForm(instance=profile_of(request.user)),
        "push_key": push.public_key(),
        "factor": factor_of(actor.user),
        "has_mail": bool(settings.EMAIL_URL),
    }
    return render(request, "me/page.html", context | forms, status=status)


def _with_trouble(channels: Sequence[Channel] | Any) -> list[tuple[Channel, Notice | None]]:
    """Each with its latest notice, where that did not get out."""
    latest = {row.pk: Notice.objects.filter(channel=row).order_by("-created_at").first() for row in channels}
    return [(row, found if (found := latest[row.pk]) and found.error else None) for row in channels]


def _own(actor: Actor, channel_id: int) -> Channel:
    row = Channel.objects.filter(pk=channel_id, user=actor.user).first()
    if row is None:
        raise Http404("You have no such channel.")
    return row


def _others(actor: Actor) -> Any:
    named = User.objects.filter(is_active=True, groups__name__in=["operator", "admin", "analyst"])
    return named.exclude(pk=actor.user.pk).distinct().order_by("username")


def _record(name: str, row: Channel, actor: Actor) -> None:
    """The address stays out of it."""
    data = {"name": row.name, "user": actor.user.get_username(), "way": row.way, "scheme": row.scheme}
    record(name, actor=str(actor), object_id=str(row.pk), data=data)
