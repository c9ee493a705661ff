"""The pages of traces: the list, the waterfall of one, and what went into a span."""

import re
import time
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests import world
from traces.ids import new_span_id
from traces.models import Span, SpanBody
from traces.queries.one_trace import PAGE_SPANS, read_trace
from traces.queries.totals import totals

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 1, 3, 0, tzinfo=timezone.get_default_timezone())
TRACE = "a" * 32


@pytest.fixture
def amir(client: Client) -> User:
    """An analyst, signed in."""
    user = world.person("amir", "analyst")
    client.force_login(user)
    return user


def make(name: str, start: float, end: float | None, parent: Span | None = None, **values: Any) -> Span:
    """A span from `start` to `end`, in seconds after START."""
    return Span(
        **{
            "trace_id": TRACE,
            "parent_id": parent.pk if parent else "",
            "name": name,
            "operation": name.partition(" ")[0],
            "started_at": START + timedelta(seconds=start),
            "ended_at": None if end is None else START + timedelta(seconds=end),
            "status": "unset" if end is None else "ok",
            "agent": "support",
            **values,
        }
    )


def page(client: Client, path: str, **headers: str) -> str:
    response = client.get(path, headers=headers)
    assert response.status_code == 200, response.content
    return response.content.decode()


def span_ids(html: str) -> list[str]:
    return re.findall(r'<details id="span-([0-9a-f]{16})"', html)


@pytest.fixture
def refund() -> list[Span]:
    """A trace like a real one: two model calls, a wait of an hour, a tool that failed."""
    root = make("invoke_agent support", 0, 3610, simulated=True, preview="One mug broken")
    used = {
        "model": "claude-haiku-4-5",
        "provider": "anthropic",
        "input_tokens": 100,
        "cache_read_tokens": 50,
        "cache_write_tokens": 7,
        "output_tokens": 20,
        "cost_usd": Decimal("0.0021"),
    }
    spans = [
        root,
        make("chat claude-haiku-4-5", 1, 3, root, **used),
        make("approval issue_refund", 3, 3603, root, tool="issue_refund"),
        make(
            "execute_tool issue_refund",
            3603,
            3605,
            root,
            tool="issue_refund",
            status="error",
            error_type="error",
        ),
        make("chat claude-haiku-4-5", 3605, 3609, root, **used),
    ]
    Span.objects.bulk_create(spans)
    SpanBody.objects.create(
        span=spans[1],
        input={"messages": ["<b>hello\u202e</b>"]},
        output={"text": "x" * 30_000, "last": "end"},
    )
    return spans


@pytest.mark.req("TRC-1", "OPS-3")
def test_strangers_and_programs_see_no_traces(client: Client, refund: list[Span]) -> None:
    paths = ["/traces", f"/traces/{TRACE}", f"/traces/{TRACE}/spans/{refund[1].pk}"]
    for path in paths:
        assert client.get(path).headers["Location"].startswith("/sign-in?next=")
    client.force_login(world.person("robot", "service"))
    for path in paths:
        assert client.get(path).status_code == 403


@pytest.mark.req("TRC-1")
def test_the_list_shows_each_trace_once_with_what_it_came_to(
    client: Client, amir: User, refund: list[Span]
) -> None:
    html = page(client, "/traces")
    assert html.count('class="row-line"') == 1
    for text in ("One mug broken", "1 error inside", "simulated", "354", "$0.0042", "1 h 0 min"):
        assert text in html, text
    assert TRACE in page(client, "/traces?agent=support&status=ok")
    assert "No trace matches this." in page(client, "/traces?status=error")
    assert client.get("/traces?cursor=x").status_code == 404


@pytest.mark.req("TRC-2")
def test_the_waterfall_follows_the_tree_and_keeps_work_visible_beside_an_hour_of_waiting(
    client: Client, amir: User, refund: list[Span]
) -> None:
    html = page(client, f"/traces/{TRACE}")
    assert span_ids(html) == [span.pk for span in refund]
    assert "waiting shortened" in html
    widths = [float(width) for width in re.findall(r'<rect x="[\d.]+" y="1" width="([\d.]+)"', html)]
    assert widths[0] == 1000
    assert min(widths[1], widths[4]) > 100, "seconds of work against an hour"
    assert widths[2] < 100
    assert "style=" not in html
    assert "Wait for a person" in html
    for text in ("$0.0042", "200 in, 40 out, 100 from cache, 14 to cache", "2 of models", "5 spans in all"):
        assert text in html, text


@pytest.mark.req("TRC-2")
def test_a_span_tells_what_went_in_and_out_and_has_a_link_of_its_own(
    client: Client, amir: User, refund: list[Span]
) -> None:
    chosen = refund[1]
    body = page(client, f"/traces/{TRACE}/spans/{chosen.pk}", **{"HX-Request": "true"})
    assert "<html" not in body
    assert "<b>hello" not in body
    assert "&lt;b&gt;hello" in body
    assert "U+202E" in body
    assert "20,000 of" in body
    assert client.get(f"/traces/{TRACE}/spans/{chosen.pk}?raw").json()["output"]["last"] == "end"

    whole = page(client, f"/traces/{TRACE}?span={chosen.pk}")
    assert f'<details id="span-{chosen.pk}" class="span" open>' in whole
    assert "&lt;b&gt;hello" in whole
    assert "Nothing more was recorded" not in whole
    assert span_ids(page(client, f"/traces/{TRACE}?span=ffffffffffffffff")) == span_ids(whole)
    for path in (f"/traces/{TRACE}/spans/ffffffffffffffff", f"/traces/{'b' * 32}", "/traces/none"):
        assert client.get(path).status_code == 404


@pytest.mark.req("TRC-1")
def test_a_trace_leads_to_its_run_and_the_run_to_its_trace(client: Client, amir: User) -> None:
    world.publish_agent()
    run = world.start()
    assert f'href="/runs/{run.pk}"' in page(client, f"/traces/{run.trace_id}")
    assert f'href="/traces/{run.trace_id}"' in page(client, f"/runs/{run.pk}")


@pytest.mark.req("TRC-1")
def test_what_a_parent_repeats_of_its_children_is_counted_once() -> None:
    used: dict[str, Any] = {"input_tokens": 10, "output_tokens": 5, "cost_usd": Decimal("0.5")}
    root = make("invoke_agent a", 0, 9, **used)
    outer = make("chat outer", 1, 8, root, **used)
    Span.objects.bulk_create([root, outer, make("chat inner", 2, 7, outer, **used)])
    figures = totals([TRACE])[TRACE]
    assert (figures.model_calls, figures.tokens, figures.cost_usd) == (1, 15, Decimal("0.5"))
    assert totals(["b" * 32]) == {}


@pytest.mark.req("TRC-2")
def test_spans_without_their_parent_and_spans_in_a_circle_are_shown_all_the_same() -> None:
    lost = make("chat lost", 1, 2, parent=make("never written", 0, 9))
    one, other = make("one", 3, 4), make("other", 4, 5)
    one.parent_id, other.parent_id = other.pk, one.pk
    open_span = make("chat open", 6, None)
    Span.objects.bulk_create([lost, one, other, open_span])
    part = read_trace(TRACE, now=START + timedelta(seconds=8))
    assert [(row.span.pk, row.depth) for row in part.rows] == [
        (lost.pk, 0),
        (open_span.pk, 0),
        (one.pk, 0),
        (other.pk, 1),
    ]
    assert part.rows[1].ends == 1.0


@pytest.mark.req("TRC-2")
def test_ten_thousand_spans_open_as_fast_as_ten(
    client: Client, amir: User, django_assert_max_num_queries: Any
) -> None:
    root = make("invoke_agent big", 0, 10_000)
    spans = [root]
    parents = [root]
    for number in range(1, 10_000):
        parent = parents[number // 10 if number < 1000 else number % 1000]
        span = make(f"step {number}", number, number + 0.5, parent, pk=new_span_id())
        spans.append(span)
        parents.append(span)
    Span.objects.bulk_create(spans, batch_size=2000)

    page(client, f"/traces/{TRACE}")  # templates are compiled once
    with django_assert_max_num_queries(14):
        html = page(client, f"/traces/{TRACE}")
    assert len(span_ids(html)) == PAGE_SPANS
    took = []
    for _ in range(
        3
    ):  # this thread's own work, whatever else the machine does; a collection may fall into one
        begun = time.thread_time()
        read_trace(TRACE, now=timezone.now())
        took.append(time.thread_time() - begun)
    assert min(took) < 0.3

    rows = page(client, f"/traces/{TRACE}?first={PAGE_SPANS}", **{"HX-Request": "true"})
    assert f'hx-get="/traces/{TRACE}?first={2 * PAGE_SPANS}"' in rows
    seen: list[str] = []
    first: int | None = 0
    while first is not None:
        part = read_trace(TRACE, now=timezone.now(), first=first)
        seen += [row.span.pk for row in part.rows]
        first = part.next
    assert len(seen) == len(set(seen)) == 10_000
    assert span_ids(rows) == seen[PAGE_SPANS : 2 * PAGE_SPANS]

    far = seen[7777]
    html = page(client, f"/traces/{TRACE}?span={far}")
    assert f'<details id="span-{far}" class="span" open>' in html
    assert "From the first span on" in html
    assert "Wait" not in html


def test_an_address_that_no_database_takes_is_one_where_nothing_is(
    client: Client, amir: User, refund: list[Span]
) -> None:
    for path in ("%00", f"{TRACE}/spans/%00", "a%00/spans/b"):
        assert client.get(f"/traces/{path}").status_code == 404
    assert "No trace matches this." in page(client, "/traces?agent=%00")
    assert span_ids(page(client, f"/traces/{TRACE}?first={'9' * 5000}")) == [span.pk for span in refund]
