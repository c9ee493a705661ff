"""The forms by which people say how they are told, and when they work."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleTimeWidget,
    UnfoldAdminTextInputWidget,
)

from approvals.attention.models import DutyHours
from approvals.exceptions import Invalid
from console.models import Channel, Profile
from console.notifications.addresses import open_address, scheme_of
from console.notifications.models import PERSONAL, Topic, Way, usual_topics
from traces import sealing

WEEKDAYS = [(0, "Mon"), (1, "Tue"), (2, "Wed"), (3, "Thu"), (4, "Fri"), (5, "Sat"), (6, "Sun")]


def check_zone(name: str) -> str:
    """The name of a time zone. Raises ValidationError."""
    if name not in available_timezones():
        raise forms.ValidationError(f"{name} is no time zone: write one such as Europe/Stockholm, or UTC.")
    return name


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A channel; its address is typed and never shown again."""

    address = forms.CharField(
        required=False,
        max_length=1000,
        strip=True,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "ntfys://ntfy.example/my-topic"}),
        help_text="As apprise writes it, such as slack://…, tgram://…, mailtos://…, jsons://host/path. It is kept encrypted and shown to nobody, you included.",
    )
    topics = forms.MultipleChoiceField(
        choices=Topic.choices, widget=forms.CheckboxSelectMultiple, label="What to tell"
    )
    quiet_from = forms.TimeField(
        required=False, widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    quiet_until = forms.TimeField(
        required=False, widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )

    class Meta:
        model = Channel
        fields = (
            "name",
            "way",
            "address",
            "topics",
            "quiet_from",
            "quiet_until",
            "time_zone",
            "burst",
            "with_title",
            "paused",
        )
        labels = {"way": "How", "burst": "Messages a minute", "paused": "Paused"}
        help_texts = {
            "burst": "What comes beyond that within a minute becomes one message.",
            "with_title": "Add the title of the action that the tool's code made, such as “Pay EUR 40.00 to acme”. Without it a message holds only a reference and a link.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.way == Way.PUSH:  # its subscription is the browser's, and it never names an action
            for name in ("way", "address", "with_title"):
                del self.fields[name]
        else:
            choices = [choice for choice in Way.choices if choice[0] != Way.PUSH]
            self.fields["way"].choices = choices  # type: ignore[attr-defined]
        self.fields["topics"].initial = self.instance.topics if self.instance.pk else usual_topics()
        if self.instance.pk and "address" in self.fields:
            self.fields["address"].help_text += " Leave it empty to keep what is stored."

    def clean_time_zone(self) -> str:
        return check_zone(self.cleaned_data["time_zone"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        address, way = cleaned.get("address", ""), cleaned.get("way")
        if way == Way.ADDRESS and not address and not self.instance.sealed:
            self.add_error("address", "Write the address.")
        if way == Way.ADDRESS and address:
            try:
                open_address(address)
            except Invalid as error:
                self.add_error("address", str(error))
        return cleaned

    def save(self, commit: bool = True) -> Any:
        """Seal what was typed."""
        row: Channel = self.instance
        if address := self.cleaned_data.get("address"):
            row.sealed, row.scheme = sealing.seal(address), scheme_of(address)
        if row.way == Way.EMAIL:
            row.sealed, row.scheme = b"", ""
        row.created_at = row.created_at or timezone.now()
        return super().save(commit)


class TeamChannelForm(ChannelForm):
    """A channel of the team, which is nobody's own mailbox, and is told nothing personal."""

    way = forms.ChoiceField(
        choices=[(Way.ADDRESS, Way.ADDRESS.label)],
        initial=Way.ADDRESS,
        label="How",
        widget=UnfoldAdminSelectWidget,
    )
    topics = forms.MultipleChoiceField(
        choices=[choice for choice in Topic.choices if choice[0] not in PERSONAL],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        label="What to tell",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        attributes = self.fields["address"].widget.attrs
        self.fields["address"].widget = UnfoldAdminTextInputWidget(attrs=attributes)
        for name in ("quiet_from", "quiet_until"):
            self.fields[name].widget = UnfoldAdminSingleTimeWidget()


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """Keys and sound."""

    class Meta:
        model = Profile
        fields = ("single_keys", "sound")
        labels = {
            "single_keys": "Keys of one letter (j, k, a, r, e, ?)",
            "sound": "A sound when a request arrives",
        }
        help_texts = {"single_keys": "Off: everything is still reached with Tab and Enter."}


class DutyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Hours of duty."""

    weekdays = forms.TypedMultipleChoiceField(
        choices=WEEKDAYS,
        coerce=int,
        widget=forms.CheckboxSelectMultiple,
        label="Days",
        initial=[0, 1, 2, 3, 4],
    )
    begins = forms.TimeField(widget=forms.TimeInput(attrs={"type": "time"}), label="From")
    ends = forms.TimeField(widget=forms.TimeInput(attrs={"type": "time"}), label="Until")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "duty_%s"} | kwargs)  # beside other forms

    class Meta:
        model = DutyHours
        fields = ("weekdays", "begins", "ends", "time_zone")

    def clean_time_zone(self) -> str:
        return check_zone(self.cleaned_data["time_zone"])


class AwayForm(forms.Form):
    """Who stands in, from when until when."""

    to = forms.ModelChoiceField(queryset=User.objects.none(), label="Who stands in", to_field_name="username")
    begins_at = forms.DateTimeField(
        label="From", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    )
    ends_at = forms.DateTimeField(
        label="Until", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    )
    time_zone = forms.CharField(max_length=64, initial="UTC", label="Time zone")

    def __init__(self, *args: Any, people: QuerySet[User], **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "away_%s"} | kwargs)
        self.fields["to"].queryset = people  # type: ignore[attr-defined]

    def clean_time_zone(self) -> str:
        return check_zone(self.cleaned_data["time_zone"])

    def moment(self, name: str) -> datetime:
        """What was typed, in the time zone that was typed with it."""
        typed: datetime = self.cleaned_data[name]
        zone = ZoneInfo(self.cleaned_data["time_zone"])
        return typed.replace(tzinfo=zone).astimezone(UTC)
