"""Where everything is."""

from django.contrib import admin
from django.urls import path

from console.api.service import api
from console.views.halt import halt, lift
from console.views.health import healthz, readyz
from console.views.home import home, status
from console.views.inbox import inbox
from console.views.sign_in import sign_in, sign_in_by_link, sign_out

urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    path("", home),
    path("status", status),
    path("sign-in", sign_in, name="sign-in"),
    path("sign-out", sign_out, name="sign-out"),
    path("halt", halt, name="halt"),
    path("halt/lift", lift, name="lift-halt"),
    path("inbox", inbox, name="inbox"),
    path("sign-in/<str:token>", sign_in_by_link, name="sign-in-by-link"),
    path("api/v1/", api.urls),
    path("admin/", admin.site.urls),
]
