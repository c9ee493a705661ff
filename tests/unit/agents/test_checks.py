"""Checks of single arguments, options, dry runs and links between tools: what is refused, and in which words."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from agents.config.tools import Check, ToolOptions
from agents.exceptions import BadConfig
from agents.tools import Denied, NotFound, Preview, Tool, ToolContext, ToolFailure, tool
from agents.tools.asking import NotMade, Purpose, Why, nobody
from agents.tools.links import linked, wrong_links
from agents.tools.options import with_options
from agents.tools.undo import NotTold, filled
from agents.tools.validation import BadArguments, validate


def straight(tool: Tool, arguments: dict[str, Any], purpose: Purpose) -> Any:
    """What a read returns, without the gate that stands before it in a run."""
    if tool.suspended:
        raise NotMade(Why.SUSPENDED, tool.suspended)
    if tool.permission:
        raise NotMade(Why.NO_RIGHT, f"it lacks the right {tool.permission!r}.")
    return tool.run(CONTEXT, arguments)


CONTEXT = ToolContext(
    run_id="r",
    call_id="c",
    idempotency_key="c",
    subject={},
    agent="a",
    now=datetime(2026, 1, 1, tzinfo=UTC),
    ask=straight,
)
CITIES = ("Berlin", "Bern", "Lisbon")
KNOWN = "cities: Berlin, Bern, Lisbon."


class Address(BaseModel):
    """Where a parcel goes."""

    city: str
    zip: str = ""


@tool(effect="read")
def find_city(context: ToolContext, name: str) -> dict[str, str]:
    """Find a city."""
    match name:
        case "down":
            raise ToolFailure("the map is offline", retryable=True)
        case "broken":
            raise ZeroDivisionError("a bug, with key sk-proj-abcdefghijklmnop0123")
        case "secret":
            raise Denied("you may not look at secret cities")
        case "nothing":
            return {}
    if name not in CITIES:
        raise NotFound(f"there is no city {name!r}; cities: {', '.join(CITIES)}")
    return {"name": name}


@tool(effect="read")
def quote(context: ToolContext, weight: float, colour: str = "red") -> dict[str, Any]:
    """Tell what sending would cost."""
    if weight > 90:
        raise ToolFailure("no van takes that")
    return {"summary": f"Costs EUR {weight * 2:.2f}.", "van": {"size": "small"}, "days": 2, "colour": colour}


@tool(effect="reversible", category="mutation")
def send(
    context: ToolContext,
    weight: Annotated[float, Field(gt=0)],
    address: Address,
    colour: str = "red",
    stops: list[Address] | None = None,
    note: str | None = None,
) -> dict[str, str]:
    """Send a parcel."""
    return {"id": "p1"}


@tool(effect="reversible", category="mutation")
def stop(context: ToolContext, parcel: str, reason: str = "") -> None:
    """Stop a parcel."""


ALL = {each.name: each for each in (find_city, quote, send, stop)}
GOOD: dict[str, Any] = {"weight": 3, "address": {"city": "Bern"}}


def checked(checks: dict[str, Any], **changes: Any) -> Tool:
    tool = replace(
        send, checks={name: Check.model_validate(check) for name, check in checks.items()}, **changes
    )
    assert not list(wrong_links(tool, ALL | {"send": tool}, fallback=True, undo=True))
    return linked(ALL | {"send": tool})["send"]


def refused(tool: Tool, **arguments: Any) -> list[tuple[str, str]]:
    """Path and message of what is wrong with the arguments; empty where nothing is."""
    try:
        validate(tool, CONTEXT, GOOD | arguments)
    except BadArguments as bad:
        return [(".".join(str(part) for part in error["path"]), error["message"]) for error in bad.errors]
    return []


CITY = {"address.city": {"exists": {"tool": "find_city", "argument": "name"}}}


@pytest.mark.req("TOOL-2")
@pytest.mark.parametrize(
    ("checks", "arguments", "told"),
    [
        ({"weight": {"minimum": 1, "maximum": 31.5}}, {}, []),
        (
            {"weight": {"minimum": 1, "maximum": 31.5}},
            {"weight": 40},
            [("weight", "40 is too high; write a number of at least 1 and at most 31.5.")],
        ),
        (
            {"weight": {"minimum": 1}},
            {"weight": 0.5},
            [("weight", "0.5 is too low; write a number of at least 1.")],
        ),
        (
            {"weight": {"maximum": 1_000_000}},
            {"weight": 2_000_000},
            [("weight", "2000000 is too high; write a number of at most 1,000,000.")],
        ),
        ({"colour": {"one_of": ["red", "blue"]}}, {}, []),
        (
            {"colour": {"one_of": ["red", "blue"]}},
            {"colour": "BLEU"},
            [("colour", "'BLEU' is not allowed. Did you mean 'blue'? Valid: red, blue.")],
        ),
        ({"note": {"one_of": ["x"]}}, {"note": None}, []),
        (CITY, {}, []),
        (
            CITY,
            {"address": {"city": "Berlni"}},
            [
                (
                    "address.city",
                    f"'Berlni' does not exist; find_city says: there is no city 'Berlni'; {KNOWN} Did you mean 'Berlin'?",
                )
            ],
        ),
        (
            CITY,
            {"address": {"city": "nothing"}},
            [("address.city", "'nothing' does not exist; find_city says: it finds nothing.")],
        ),
        (
            CITY,
            {"address": {"city": "down"}},
            [("address.city", "'down' can't be checked: find_city says: the map is offline.")],
        ),
        (
            {"stops.city": {"exists": {"tool": "find_city", "argument": "name"}}},
            {"stops": [{"city": "Bern"}, {"city": "Brn"}]},
            [
                (
                    "stops.1.city",
                    f"'Brn' does not exist; find_city says: there is no city 'Brn'; {KNOWN} Did you mean 'Bern'?",
                )
            ],
        ),
        (
            {**CITY, "weight": {"maximum": 5}},
            {"weight": 6, "address": {"city": "Rome"}},
            [
                ("weight", "6 is too high; write a number of at most 5."),
                (
                    "address.city",
                    "'Rome' does not exist; find_city says: there is no city 'Rome'; cities: Berlin, Bern, Lisbon.",
                ),
            ],
        ),
    ],
)
def test_a_value_that_will_not_do_is_named_with_what_would(
    checks: dict[str, Any], arguments: dict[str, Any], told: list[tuple[str, str]]
) -> None:
    assert refused(checked(checks), **arguments) == told


@pytest.mark.req("TOOL-2", "OPS-4")
def test_a_lookup_in_trouble_is_never_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, told),) = refused(checked(CITY), address={"city": "broken"})
    assert "the check of send broke off (ZeroDivisionError: a bug, with key " in told
    assert "sk-proj" not in told
    nowhere = replace(CONTEXT, ask=nobody)
    with pytest.raises(
        BadArguments, match="'Bern' can't be checked: find_city can be asked for a call of a run"
    ):
        validate(checked(CITY), nowhere, GOOD)
    with pytest.raises(Denied, match="secret cities"):
        validate(checked(CITY), CONTEXT, GOOD | {"address": {"city": "secret"}})
    tool = replace(send, checks={"colour": Check.model_validate({"exists": "find_city"})})
    suspended = linked({"send": tool, "find_city": replace(find_city, suspended="it changed.")})["send"]
    assert refused(suspended, colour="Bern") == [("colour", "'Bern' can't be checked: it changed.")]
    limited = linked(
        {
            "send": replace(tool, checks=checked(CITY).checks),
            "find_city": replace(find_city, permission="maps"),
        }
    )
    with pytest.raises(Denied, match="lacks the right 'maps'"):
        validate(limited["send"], CONTEXT, GOOD)


@pytest.mark.req("TOOL-2")
def test_the_tools_own_check_comes_after() -> None:
    seen: list[Any] = []
    tool = checked({"weight": {"maximum": 5}}, check=lambda context, arguments: seen.append(arguments))
    assert refused(tool, weight=6)
    assert not seen
    assert not refused(tool)
    assert seen == [GOOD]


def even(context: ToolContext, arguments: dict[str, Any]) -> None:
    """The weight must be even."""
    if arguments["weight"] % 2:
        raise ValueError("odd weights tip over; write 2, 4 or 6.")


no_function = 5


@pytest.mark.req("TOOL-2")
def test_a_function_may_check_all_arguments_together() -> None:
    tool = with_options(send, ToolOptions(check=f"{__name__}.even"))
    assert refused(tool, weight=3) == [("", "odd weights tip over; write 2, 4 or 6.")]
    assert not refused(tool, weight=4)
    for path in (f"{__name__}.odd", "nowhere.even", "even", f"{__name__}.no_function"):
        with pytest.raises(BadConfig, match="check: "):
            with_options(send, ToolOptions(check=path))


LINKS: list[tuple[dict[str, Any], list[str | int], str]] = [
    (
        {"checks": {"wieght": {"minimum": 1}}},
        ["checks", "wieght"],
        "there is no argument 'wieght'; did you mean 'weight'?",
    ),
    (
        {"checks": {"address.town": {"one_of": ["x"]}}},
        ["checks", "address.town"],
        "there is no argument 'town' of address; known: city, zip.",
    ),
    (
        {"checks": {"colour": {"exists": "find_ctiy"}}},
        ["checks", "colour", "exists"],
        "the agent doesn't have the tool 'find_ctiy'; did you mean 'find_city'?",
    ),
    (
        {"checks": {"colour": {"exists": "stop"}}},
        ["checks", "colour", "exists"],
        "stop is reversible; only a tool with effect read can be asked. Reads: find_city, quote.",
    ),
    (
        {"checks": {"colour": {"exists": "find_city"}}},
        ["checks", "colour", "exists"],
        "in find_city, there is no argument 'colour'; known: name. Say which with exists: {tool: find_city, argument: ...}.",
    ),
    (
        {"checks": {"colour": {"exists": "quote"}}},
        ["checks", "colour", "exists"],
        "quote needs weight beside colour.",
    ),
    (
        {"dry_run": "stop"},
        ["dry_run"],
        "stop is reversible; only a tool with effect read can be asked. Reads: find_city, quote.",
    ),
    ({"dry_run": "find_city"}, ["dry_run"], "find_city needs name, which send doesn't have."),
    ({"fallback": "sned"}, ["fallback"], "the agent doesn't have the tool 'sned'; did you mean 'send'?"),
    (
        {"undo": {"tool": "halt"}},
        ["undo", "tool"],
        "the agent doesn't have the tool 'halt'; known: find_city, quote, send, stop.",
    ),
    ({"undo": {"tool": "quote"}}, ["undo", "arguments"], "quote only reads, so it takes nothing back."),
    ({"undo": {"tool": "stop"}}, ["undo", "arguments"], "stop needs parcel too."),
    (
        {"undo": {"tool": "stop", "arguments": {"parcel": "result.id", "raeson": "x"}}},
        ["undo", "arguments"],
        "in stop, there is no argument 'raeson'; did you mean 'reason'?",
    ),
    (
        {"undo": {"tool": "stop", "arguments": {"parcel": "arguments.id"}}},
        ["undo", "arguments"],
        "arguments.id: there is no argument 'id'; known: weight, address, colour, stops, note.",
    ),
]


@pytest.mark.req("TOOL-2", "TOOL-8", "TOOL-9")
@pytest.mark.parametrize(("options", "place", "message"), LINKS)
def test_what_names_no_tool_or_argument_is_told_with_the_nearest(
    options: dict[str, Any], place: list[str | int], message: str
) -> None:
    tool = with_options(send, ToolOptions.model_validate(options))
    assert list(wrong_links(tool, ALL | {"send": tool}, fallback=True, undo=True)) == [(place, message)]


@pytest.mark.req("TOOL-1")
def test_options_leave_alone_what_they_don_t_name() -> None:
    before = replace(send, timeout=5, rate_limit=9, when_to_use="Always.", idempotent=True, untrusted=False)
    after = with_options(before, ToolOptions())
    assert (after.timeout, after.rate_limit, after.when_to_use) == (5, 9, "Always.")
    assert (after.idempotent, after.untrusted) == (True, False)
    with pytest.raises(BadConfig, match="cache is for tools with effect read; send is reversible"):
        with_options(send, ToolOptions.model_validate({"cache": "5m"}))
    lookup = with_options(quote, ToolOptions.model_validate({"cache": "5m", "fresh": "30s", "polling": True}))
    assert (lookup.cache_seconds, lookup.fresh_seconds, lookup.polling) == (300, 30, True)
    assert (lookup.category, after.category) == ("lookup", "mutation")
    assert with_options(quote, ToolOptions.model_validate({"category": "search"})).category == "search"


@pytest.mark.req("TOOL-1")
@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Send {weight:.1f} kg to {address.city}", "Send 3.0 kg to Bern"),
        ("Send it in {colour}, for {note}", "Send it in red, for (not given)"),
        ("Send {{it}}", "Send {it}"),
        ("Send to {address.zip:>5}", "Send to (not given)"),
        ("Send {weight:d}", "Call send"),  # can't be written so; the name always serves
        ("Send {address.city.__class__}", None),
        ("Send {wieght}", None),
        ("Send {weight", None),
        ("Send {}", None),
    ],
)
def test_a_title_shows_the_arguments(title: str, words: str | None) -> None:
    if words is None:
        with pytest.raises(BadConfig, match="the title"):
            with_options(send, ToolOptions(title=title))
    else:
        assert (
            with_options(send, ToolOptions(title=title)).in_words(
                {"weight": 3.0, "address": {"city": "Bern"}}
            )
            == words
        )


def preview_of(data: Any) -> Preview:
    dry_run = replace(quote, run=lambda context, arguments: data)
    tool = linked({"quote": dry_run, "send": replace(send, dry_run="quote")})["send"]
    assert tool.preview is not None
    return tool.preview(CONTEXT, GOOD)


@pytest.mark.req("TOOL-8")
def test_a_dry_run_becomes_the_preview() -> None:
    tool = linked(ALL | {"send": replace(send, dry_run="quote")})["send"]
    assert tool.preview is not None
    shown = tool.preview(CONTEXT, GOOD)
    assert (shown.summary, dict(shown.facts)) == (
        "Costs EUR 6.00.",
        {"van": '{"size": "small"}', "days": 2, "colour": "red"},
    )
    with pytest.raises(ToolFailure, match="no van takes that"):
        tool.preview(CONTEXT, GOOD | {"weight": 91})
    assert preview_of("Costs nothing.") == Preview("Costs nothing.")
    assert preview_of([1, 2]).facts == {"result": "[1, 2]"}
    assert preview_of({"token": "sk-proj-abcdefghijklmnop0123"}).facts != {
        "token": "sk-proj-abcdefghijklmnop0123"
    }
    many = preview_of({f"n{number}": "x" * 5000 for number in range(40)})
    assert len(many.facts) == 21
    assert max(len(str(value)) for value in many.facts.values()) < 600


@pytest.mark.req("TOOL-9")
def test_a_compensation_gets_what_its_template_names() -> None:
    sources = {"arguments": {"a": {"b": [1, {"c": 2}]}}, "result": {"id": "p1", "none": None}}
    template = {
        "x": "result.id",
        "y": "arguments.a.b.1.c",
        "z": ["result.none", "plain"],
        "w": "arguments.gone",
        "v": 5,
    }
    assert filled(template, sources) == {"x": "p1", "y": 2, "z": [None, "plain"], "v": 5}
    assert filled("result", sources) == {"id": "p1", "none": None}
    assert filled("result of all this", sources) == "result of all this"
    with pytest.raises(NotTold, match=r"no 'key\.deep'"):
        filled({"x": "result.key.deep"}, sources)
