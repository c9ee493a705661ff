"""Where everything is."""

from django.contrib import admin
from django.urls import path

from console.views.health import healthz, readyz
from console.views.sign_in import sign_in_by_link

urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    path("sign-in/<str:token>", sign_in_by_link, name="sign-in-by-link"),
    path("admin/", admin.site.urls),
]
