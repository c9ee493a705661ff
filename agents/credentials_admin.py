"""Credentials for admins: set and replaced here, and never shown."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from agents.credentials import keep
from agents.exceptions import BadConfig
from agents.models import Credential
from agents.safekeeping import check, remove, users_of

if TYPE_CHECKING:
    _CredentialModelForm = forms.ModelForm[Credential]
else:
    _CredentialModelForm = forms.ModelForm


class CredentialForm(_CredentialModelForm):
    """A credential, whose secret can be written and never read."""

    hosts = forms.CharField(
        label="Hosts",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Where it may be sent, such as api.example.com, apart by commas. Of a value for a program: none.",
    )
    secret = forms.CharField(
        label="Secret",
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Left empty, the one that is there stays. Of kind basic: user:password.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["hosts"] = ", ".join(self.instance.hosts)

    def clean_hosts(self) -> list[str]:
        """As the row holds them."""
        return [host.strip().lower() for host in self.cleaned_data["hosts"].split(",") if host.strip()]

    def clean(self) -> dict[str, Any]:
        """What may be stored."""
        cleaned = super().clean() or {}
        if not self.errors:
            row = Credential.objects.get(pk=self.instance.pk) if self.instance.pk else None
            try:
                check(row, **self.values())
            except BadConfig as error:
                self.add_error(error.errors[0]["path"][0], str(error))
        return cleaned

    def values(self) -> dict[str, Any]:
        """As `keep` takes them."""
        given = self.cleaned_data
        return {
            "name": given.get("name") or self.instance.name,
            "kind": given["kind"],
            "parameter": given["parameter"],
            "hosts": given["hosts"],
            "secret": given["secret"] or None,
        }


@admin.register(Credential)
class CredentialAdmin(ModelAdmin):
    """Secrets of tools; each change is in the audit log, without the secret."""

    form = CredentialForm
    list_display = ("name", "kind", "places", "agents", "changed_at", "changed_by", "last_used_at")
    list_select_related = ("changed_by",)
    search_fields = ("name",)
    fields = ("name", "kind", "parameter", "hosts", "secret")
    actions = None  # several at once can't be deleted: one may be in use

    def get_readonly_fields(self, request: HttpRequest, obj: Credential | None = None) -> tuple[str, ...]:
        """The name stays: agents know it by that."""
        return ("name", "agents", "changed_at", "changed_by", "last_used_at") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Credential | None = None) -> tuple[str, ...]:
        """With what is known of one that is there."""
        return (*self.fields, "agents", "changed_at", "changed_by", "last_used_at") if obj else self.fields

    @method_decorator(sensitive_post_parameters("secret"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Without the secret in any report of an error."""
        response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        return response

    def save_model(self, request: HttpRequest, obj: Credential, form: CredentialForm, change: bool) -> None:
        """Keep it, sealed."""
        obj.pk = keep(**form.values(), actor=_user(request), now=timezone.now()).pk

    def delete_model(self, request: HttpRequest, obj: Credential) -> None:
        """Delete one that no agent names."""
        remove(obj, actor=_user(request))

    def has_delete_permission(self, request: HttpRequest, obj: Credential | None = None) -> bool:
        """Not of one that is in use."""
        return super().has_delete_permission(request, obj) and (obj is None or not users_of(obj.name))

    @admin.display(description="May be sent to")
    def places(self, credential: Credential) -> str:
        """By host."""
        return ", ".join(credential.hosts) or ("no host" if credential.kind == "value" else "any host")

    @admin.display(description="Used by")
    def agents(self, credential: Credential) -> str:
        """The agents whose live version names it."""
        return ", ".join(users_of(credential.name)) or "no agent"


def _user(request: HttpRequest) -> User:
    user = request.user
    assert isinstance(user, User)
    return user
