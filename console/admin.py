"""People, their roles and the tokens of programs."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from approvals.access import PEOPLE, ROLES, SERVICE
from console.models import ApiToken
from console.notifications.admin import ChannelAdmin
from console.people.tokens import revoke_tokens, scopes_of
from traces.admin import ReadOnly
from traces.recorder import record

__all__ = ["ApiTokenAdmin", "ChannelAdmin", "GroupAdmin", "UserAdmin"]

if TYPE_CHECKING:
    _UserAdmin = BaseUserAdmin[User]
else:
    _UserAdmin = BaseUserAdmin

admin.site.unregister(User)
admin.site.unregister(Group)


class RolesForm(UserChangeForm):
    """Roles are groups; a program is never a person as well."""

    def clean_groups(self) -> QuerySet[Group]:
        """Refuse service beside a person's role: a service can never decide, whatever else it is."""
        groups: QuerySet[Group] = self.cleaned_data["groups"]
        names = {group.name for group in groups}
        if SERVICE in names and names & PEOPLE:
            raise forms.ValidationError(
                "service is for programs and goes with no other role: make a user of its own for the program."
            )
        return groups


@admin.register(User)
class UserAdmin(_UserAdmin, ModelAdmin):
    """Who may come in, and as what. Nobody is deleted, since the audit log names them: switch them off."""

    form = RolesForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "roles", "is_active", "last_login")
    list_filter = ("is_active", "groups")
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Who", {"fields": ("first_name", "last_name", "email")}),
        ("What they may do", {"fields": ("is_active", "groups")}),
        ("Since", {"fields": ("last_login", "date_joined")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """With the roles that the list shows."""
        users: QuerySet[User] = super().get_queryset(request)
        return users.prefetch_related("groups")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The roles as boxes to tick."""
        if db_field.name == "groups":
            kwargs["queryset"] = Group.objects.filter(name__in=ROLES).order_by("name")
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
            return db_field.formfield(**kwargs, label="Roles", help_text=ROLE_HELP)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the roles, and keep in the audit log what they were and are."""
        before = sorted(form.instance.groups.values_list("name", flat=True))
        super().save_related(request, form, formsets, change)
        after = sorted(form.instance.groups.values_list("name", flat=True))
        if before != after:
            record(
                "user.roles_changed",
                actor=f"user:{request.user.get_username()}",
                object_id=str(form.instance.pk),
                data={"user": form.instance.get_username(), "before": before, "after": after},
            )

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody."""
        return False

    @admin.display(description="Roles")
    def roles(self, user: User) -> str:
        """By name."""
        names = [group.name for group in user.groups.all()]
        return ", ".join(sorted(names)) or ("admin" if user.is_superuser else "none")


ROLE_HELP = (
    "operator: decides approvals, starts and stops runs. analyst: reads. admin: both, and these pages. "
    "service: a program, which can ask and never decide."
)


@admin.register(Group)
class GroupAdmin(ReadOnly, BaseGroupAdmin, ModelAdmin):
    """The roles; what each may do is part of the program, so there is nothing to set."""

    fields = ("name",)
    filter_horizontal = ()


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnly, ModelAdmin):
    """Tokens; the page Connect and `python manage.py token create` make them and show them, once."""

    list_display = (
        "shown",
        "user",
        "role",
        "scope_names",
        "agent",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_select_related = ("user",)
    list_filter = ("role",)
    list_before_template = "admin/console/apitoken/_how.html"
    search_fields = ("prefix", "user__username")
    fields = list_display
    readonly_fields = ("shown", "scope_names")
    actions = ("revoke",)

    @admin.action(description="Revoke: let them in no more")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """From now on."""
        count = revoke_tokens(queryset, by=f"user:{request.user.get_username()}", now=timezone.now())
        messages.success(request, f"{count} revoked.")

    @admin.display(description="Token")
    def shown(self, token: ApiToken) -> str:
        """How it begins."""
        return f"{token.prefix}…"

    @admin.display(description="Scopes")
    def scope_names(self, token: ApiToken) -> str:
        """By name."""
        return ", ".join(scopes_of(token)) if token.scopes else "all that its role may"
