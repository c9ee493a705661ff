"""Which site Django admin is; apart from it, since Django reads this before there are models."""

from django.contrib.admin.apps import AdminConfig


class GatehouseAdminConfig(AdminConfig):
    """Makes `admin.site` ours."""

    default_site = "console.admin_site.GatehouseAdminSite"
