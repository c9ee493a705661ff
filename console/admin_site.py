"""Django admin as this console has it: for admins only, behind the console's own sign-in."""

from typing import Any
from urllib.parse import urlencode

from csp.decorators import csp_update
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.sites import UnfoldAdminSite

from approvals.access import ADMIN, roles_of

# Unfold's pages are driven by Alpine.js, which compiles the expressions in their attributes, and set their colours
# in a style element. Both are allowed on pages of the admin only, which only admins can open; script itself still
# comes from this host alone, and never from within a page.
NEEDS = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"]}


class GatehouseAdminSite(UnfoldAdminSite):
    """The admin's pages."""

    def has_permission(self, request: HttpRequest) -> bool:
        """People with the role admin."""
        return ADMIN in roles_of(request.user)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """To the console's sign-in, which counts failures; who is signed in without the role is told so."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied("The admin pages are for people with the role admin.")
        target = request.GET.get("next", request.get_full_path())
        return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': target})}")

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """The view behind its check, with what Unfold needs."""
        return csp_update(NEEDS)(super().admin_view(view, cacheable))
