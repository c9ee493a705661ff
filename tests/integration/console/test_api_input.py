"""What callers of the API may send, and what they are told where it is wrong."""

from datetime import timedelta

import pytest
from django.utils import timezone

from agents.models import Run
from tests import world
from tests.integration.console.callers import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def agent() -> None:
    world.publish_agent()


@pytest.fixture
def shop() -> Caller:
    return Caller("shop", "service")


@pytest.mark.parametrize("wait", ["61", "-1", "soon", "nan", "inf"])
def test_a_wait_out_of_bounds_is_refused(shop: Caller, wait: str) -> None:
    shop.get(f"/runs/{world.start(started_by=shop.user).pk}", wait=wait)
    assert shop.status == 422
    assert shop.body["errors"][0]["path"] == ["wait"]


@pytest.mark.req("OPS-3")
@pytest.mark.parametrize(
    ("role", "start", "steer"),
    [("service", 201, 200), ("operator", 201, 200), ("admin", 201, 200), ("analyst", 403, 403)],
)
def test_what_a_role_may_do_with_runs(role: str, start: int, steer: int) -> None:
    caller = Caller("someone", role)
    caller.post("/runs", {"agent": "teller", "input": "Pay."})
    assert caller.status == start
    run = world.start(started_by=caller.user)
    caller.post(f"/runs/{run.pk}/pause")
    assert caller.status == steer
    caller.post(f"/runs/{run.pk}/cancel", {"reason": "not needed any more"})
    assert caller.status == steer
    caller.get("/runs")
    assert caller.status == 200


def test_what_the_state_forbids_is_a_conflict(shop: Caller) -> None:
    run = world.start(started_by=shop.user)
    shop.post(f"/runs/{run.pk}/resume")
    assert shop.status == 409
    assert shop.body["type"].endswith("wrong_state")


@pytest.mark.parametrize("cursor", ["x", "AAAA", "WzEsMl0", "W10", "bnVsbA", "é", "WyIyMDI2LTAxLTAxIiwiYSJd"])
def test_a_cursor_that_no_list_gave_out_is_refused(shop: Caller, cursor: str) -> None:
    for path in ("/runs", "/approvals", "/traces", "/agents"):
        shop.get(path, cursor=cursor)
        assert shop.status == 422, path
        assert shop.body["errors"][0]["path"] == ["cursor"]


@pytest.mark.parametrize("limit", ["0", "201", "many"])
def test_a_limit_out_of_bounds_is_refused(shop: Caller, limit: str) -> None:
    shop.get("/runs", limit=limit)
    assert shop.status == 422


def test_pages_hold_every_run_once_whatever_arrives_meanwhile(shop: Caller) -> None:
    runs = [world.start(started_by=shop.user) for _ in range(7)]
    same = timezone.now() - timedelta(hours=1)
    Run.objects.filter(pk__in=[run.pk for run in runs]).update(created_at=same)
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = shop.get("/runs", limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        world.start(started_by=shop.user)
    assert seen[:3] and sorted(seen) == sorted(str(run.pk) for run in runs)  # noqa: PT018
    assert len(seen) == 7


BAD_BODIES = {
    "unknown agent": ({"agent": "nobody", "input": "Pay."}, 422),
    "a name that no agent can have": ({"agent": "NO BODY", "input": "Pay."}, 422),
    "no input": ({"agent": "teller"}, 422),
    "empty input": ({"agent": "teller", "input": ""}, 422),
    "blank input": ({"agent": "teller", "input": " \n"}, 422),
    "too much input": ({"agent": "teller", "input": "x" * 5001}, 422),
    "unknown key": ({"agent": "teller", "input": "Pay.", "prio": 1}, 422),
    "wrong type": ({"agent": "teller", "input": ["Pay."]}, 422),
    "list subject": ({"agent": "teller", "input": "Pay.", "subject": []}, 422),
    "NUL": ({"agent": "teller", "input": "Pay\x00."}, 422),
    "NUL in a key": ({"agent": "teller", "input": "Pay.", "metadata": {"a\x00": 1}}, 422),
    "half a character": (b'{"agent": "teller", "input": "\\ud800"}', 422),
    "number beyond JSON": (b'{"agent": "teller", "input": "Pay.", "metadata": {"n": 1e999}}', 422),
    "number beyond 2^53": ({"agent": "teller", "input": "Pay.", "metadata": {"n": 2**60}}, 422),
    "NaN": (b'{"agent": "teller", "input": "Pay.", "metadata": {"n": NaN}}', 400),
    "long number": (b'{"agent": "teller", "input": "Pay.", "metadata": {"n": ' + b"9" * 5000 + b"}}", 400),
    "deep": (b'{"agent": "teller", "input": "Pay.", "metadata": ' + b'{"a":' * 60 + b"1" + b"}" * 61, 422),
    "very deep": (b"[" * 100_000, 400),
    "invalid UTF-8": (b'{"agent": "teller", "input": "\xff\xfe"}', 400),
    "not JSON": (b"agent=teller", 400),
    "nothing": (b"", 422),
    "null": (b"null", 422),
    "a list": ([], 422),
    "10 MB of text": ({"agent": "teller", "input": "x" * 10_000_000}, 413),
    "long conversation": ({"agent": "teller", "input": "Pay.", "conversation": "x" * 201}, 422),
}


@pytest.mark.req("RUN-1", "OPS-4")
@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_bodies_start_nothing_and_are_told_why(shop: Caller, name: str) -> None:
    body, status = BAD_BODIES[name]
    shop.post("/runs", body)
    assert shop.status == status, shop.body
    assert Run.objects.count() == 0
    if status == 422:
        assert shop.body["errors"]


def test_an_error_names_the_place(shop: Caller) -> None:
    shop.post("/runs", {"agent": "teller", "input": "Pay.", "metadata": {"deep": [{"n": 2**60}]}})
    assert shop.body["errors"][0]["path"] == ["metadata", "deep", 0, "n"]
    shop.post("/runs", {"agent": "teller", "imput": "Pay."})
    assert [error["path"] for error in shop.body["errors"]] == [["input"], ["imput"]]


def test_other_content_types_are_refused(shop: Caller) -> None:
    response = shop.client.post("/api/v1/runs", {"agent": "teller", "input": "Pay."})
    assert (response.status_code, response.headers["Content-Type"]) == (415, "application/problem+json")
