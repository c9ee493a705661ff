"""Every page of the console, from its URL configuration, so that a new one can't be forgotten."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib import admin
from django.urls import URLResolver, get_resolver

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
APART = ("api/", "admin/")  # programs' own, and the pages of `of_admin`


def of_console(values: Mapping[str, str]) -> list[str]:
    """The addresses of all that is not the API's or the admin's; `values` are those of the parameters, by name.

    Whatever is no page is among them: it answers no GET, or not with a whole page.
    """
    addresses = []
    for route in _routes(get_resolver().url_patterns):
        if not route.startswith(APART):
            missing = set(PARAMETER.findall(route)) - set(values)
            assert not missing, f"Say what {missing} of {route} is, so that its page can be looked at."
            addresses.append(_filled(route, values))
    return addresses


def of_admin(values: Mapping[str, str], rows: Mapping[str, str]) -> list[str]:
    """The addresses of the admin: each model's list, its empty form, and the row that `rows` names (key by table).

    A row's history and deletion look the same for all models: they are those of agents.
    """
    tables = {
        f"admin/{model._meta.app_label}/{model._meta.model_name}/": model._meta.db_table
        for model in admin.site._registry
    }
    addresses = []
    for route in _routes(get_resolver().url_patterns):
        start = "/".join(route.split("/")[:3]) + "/"
        repeats = route.endswith(("/history/", "/delete/")) and not start.startswith("admin/agents/agent/")
        if not route.startswith("admin/") or "(?P" in route or repeats:
            continue
        row = rows.get(tables.get(start, ""))
        known = {**values, "object_id": row, "id": row} if row else values
        if set(PARAMETER.findall(route)) <= set(known):
            addresses.append(_filled(route, known))
    return addresses


def _filled(route: str, values: Mapping[str, str]) -> str:
    return "/" + PARAMETER.sub(lambda found: values[found[1]], route)


def _routes(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    for each in patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _routes(each.url_patterns, route)
        else:
            yield route
