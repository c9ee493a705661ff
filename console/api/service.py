"""The API put together."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from pydantic.json_schema import models_json_schema

from console.api import (
    agents,
    alerts,
    approvals,
    batches,
    breakers,
    deliveries,
    halts,
    me,
    memories,
    rates,
    runs,
    suites,
    traces,
)
from console.api.auth import ANY
from console.api.bodies import JsonBody
from console.api.problems import MEDIA_TYPE, ProblemOut, install

DESCRIPTION = """
Runs of agents, and the approvals of people. Send `Authorization: Bearer gth_...`; make a token with
`python manage.py token create --user NAME --role ROLE`, with `--scope` for a token that may do less than its role.

Errors are problem documents (RFC 9457). Lists are paged by `next`, which is the `cursor` of the next page.
A POST that creates takes an `Idempotency-Key`: send it again after a lost answer, and nothing happens twice.
"""

COMMON = {
    401: "No token, or one that is unknown, revoked or expired",
    422: "Something that was sent can't be used",
    429: "Too many at once; Retry-After says when to come again",
    503: "The database does not answer; try again",
}
READING = {
    403: "Not with this role or scope",
    404: "No such thing, or not for this token",
    409: "Settled before, changed since it was shown, or not possible in this state",
}
WRITING = {
    **READING,
    400: "Not JSON in UTF-8",
    413: "More than 2 MB",
    415: "Not application/json",
}


class Api(NinjaAPI):
    """Documents with every operation how it can fail, since every failure has the same form.

    Every answer to a known token tells how often it may come.
    """

    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        """What a view's answer is put into."""
        return rates.tell(request, super().create_temporal_response(request))

    def on_exception(self, request: HttpRequest, exc: Any) -> HttpResponse:
        """What an error is answered with."""
        return rates.tell(request, super().on_exception(request, exc))

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        """The OpenAPI document."""
        document = super().get_openapi_schema(**options)
        _, definitions = models_json_schema(
            [(ProblemOut, "serialization")], ref_template="#/components/schemas/{model}"
        )
        document["components"]["schemas"].update(definitions["$defs"])
        for methods in document["paths"].values():
            for method, operation in methods.items():
                problems = COMMON | (READING if method == "get" else WRITING)
                operation["responses"].update(_documented(problems.items()))
        return document


def _documented(problems: Iterable[tuple[int, str]]) -> dict[int, Any]:
    schema = {"$ref": "#/components/schemas/ProblemOut"}
    return {
        status: {"description": words, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, words in sorted(problems)
    }


api = Api(
    title="Gatehouse",
    version="1",
    description=DESCRIPTION,
    auth=ANY,
    parser=JsonBody(),
    urls_namespace="api",
)
install(api)
api.add_router("/runs", runs.router)
api.add_router("/batches", batches.router)
api.add_router("/suites", suites.router)
api.add_router("/approvals", approvals.router)
api.add_router("/halt", halts.router)
api.add_router("/breakers", breakers.router)
api.add_router("/traces", traces.router)
api.add_router("/agents", agents.router)
api.add_router("/memories", memories.router)
api.add_router("/alerts", alerts.router)
api.add_router("/deliveries", deliveries.router)
api.add_router("/me", me.router)
