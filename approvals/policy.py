"""Policy: an ordered list of rules decides what may run, what must be asked and what is denied. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import cel

_CEL_ERROR = re.compile(r"<input>:(\d+):(\d+): Syntax error: (.*)")


class Outcome(StrEnum):
    """What a rule says of an action."""

    ALLOW = "allow"
    REQUIRE = "require"
    DENY = "deny"
    MASK = "mask"  # decides nothing: says what of the arguments who may see


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a policy. Empty conditions match everything; names match exactly, never as patterns."""

    then: Outcome
    tool: str = ""
    effect: str = ""
    when: str = ""  # CEL over tool, effect, category, egress, agent, arguments, subject, tainted, now
    approvers: int = 1
    role: str = "operator"
    expires: int | None = None  # s
    roles: tuple[str, ...] = ()  # one different person for each, among the approvers
    denials: int = 1  # people who must say no before it is denied
    hold: int = 0  # s after the approval, in which it can be recalled
    step_up: bool = False  # who approves gives a second factor
    mask: tuple[str, ...] = ()  # paths of arguments
    seen_by: str = "admin"  # the role that sees them none the less

    def __str__(self) -> str:
        what = self.tool or (f"any {self.effect} call" if self.effect else "any call")
        condition = f" when {self.when}" if self.when else ""
        if self.then is Outcome.REQUIRE:
            held = f", held {self.hold} s" if self.hold else ""
            denials = f", {self.denials} must say no" if self.denials > 1 else ""
            proven = ", with a second factor" if self.step_up else ""
            return f"{what}{condition}: ask {self._people()}{denials}{held}{proven}"
        if self.then is Outcome.MASK:
            return f"{what}{condition}: mask {', '.join(self.mask)} but for the role {self.seen_by}"
        return f"{what}{condition}: {self.then}"

    def _people(self) -> str:
        if self.roles:
            each = " and ".join(f"one {role}" for role in self.roles)
            more = f", {self.approvers} people in all" if self.approvers > len(self.roles) else ""
            return f"{each}{more}"
        return f"{self.approvers} {self.role}" + ("s" if self.approvers > 1 else "")


@dataclass(frozen=True, slots=True)
class Action:
    """What is to be judged."""

    tool: str
    effect: str
    arguments: dict[str, Any]
    category: str = ""
    egress: bool = False
    agent: str = ""
    subject: dict[str, Any] = field(default_factory=dict)
    tainted: bool = False
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says, by which rule, and why in words."""

    outcome: Outcome
    rule: str
    why: str
    approvers: int = 1
    role: str = "operator"
    expires: int | None = None  # s
    roles: tuple[str, ...] = ()
    denials: int = 1
    hold: int = 0  # s
    step_up: bool = False


RANK = ("operator", "admin")  # who may decide, from the least to the most

DEFAULT_READ = Rule(then=Outcome.ALLOW, effect="read")
DEFAULT_EFFECT = Rule(then=Outcome.REQUIRE)


def evaluate(action: Action, rules: Sequence[Rule]) -> Verdict:
    """Judge `action` by the first of `rules` that matches; none: a read is allowed, all else needs one operator.

    A condition that can't be computed for these arguments never allows: an allowing rule is passed over, a rule
    that asks or denies applies.
    """
    for rule in rules:
        if (
            rule.then is Outcome.MASK
            or rule.tool not in ("", action.tool)
            or rule.effect not in ("", action.effect)
        ):
            continue
        matched, note = _matches(rule, action)
        if matched:
            return _verdict(rule, str(rule), note or "This rule is the first that matches.")
    if action.effect == "read":
        return _verdict(DEFAULT_READ, "default: reads are allowed", "No rule matches, and it only reads.")
    return _verdict(
        DEFAULT_EFFECT,
        "default: one operator",
        f"No rule matches, and the call is {action.effect or 'an effect'}.",
    )


def masking_rules(action: Action, rules: Sequence[Rule]) -> list[Rule]:
    """All of `rules` that mask arguments of this action, whichever decides about it; in doubt they do."""
    return [
        rule
        for rule in rules
        if rule.then is Outcome.MASK
        and rule.tool in ("", action.tool)
        and rule.effect in ("", action.effect)
        and _matches(rule, action)[0]
    ]


def stricter(first: Verdict, second: Verdict) -> Verdict:
    """The one of two verdicts that lets less through, the first where they are equal; of two that ask, all that both ask."""
    order = {Outcome.ALLOW: 0, Outcome.REQUIRE: 1, Outcome.DENY: 2}
    chosen = max(first, second, key=lambda v: (order[v.outcome], RANK.index(v.role), v.approvers))
    if not first.outcome == second.outcome == Outcome.REQUIRE:
        return chosen
    roles = merged_roles(first.roles, second.roles)
    return replace(
        chosen,
        role=max(first.role, second.role, key=RANK.index),
        approvers=max(first.approvers, second.approvers, len(roles)),
        roles=roles,
        denials=min(first.denials, second.denials),
        hold=max(first.hold, second.hold),
        step_up=first.step_up or second.step_up,
    )


def merged_roles(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """The shortest list that has each role as often as either list has it."""
    return tuple(role for role in RANK for _ in range(max(list(first).count(role), list(second).count(role))))


def check_condition(expression: str) -> str | None:
    """What is wrong with a CEL condition, in words that follow "the condition ..."; None where nothing is."""
    try:
        _compile(expression)
    except ValueError as error:
        return _unreadable(str(error))
    sample = _variables(Action(tool="", effect="read", arguments={}, now=datetime(2026, 1, 1, tzinfo=UTC)))
    try:
        _compile(expression).execute(sample)
    except KeyError:
        pass  # an argument that the empty action lacks
    except RuntimeError as error:
        return f"can't be computed: {str(error).split('. ')[0]}. Known names: {', '.join(sample)}."
    except (TypeError, ValueError):
        pass  # of the empty values here, not of the expression
    return None


def _unreadable(error: str) -> str:
    """The parser's first complaint without the tokens that it would have liked."""
    found = _CEL_ERROR.search(error)
    if found is None:
        return "can't be read."
    line, column, complaint = found.groups()
    complaint = complaint.split(" expecting ")[0]
    for token, plain in (
        ("mismatched input '<EOF>'", "it ends too early"),
        ("extraneous input", "this is too much:"),
        ("mismatched input", "this does not fit here:"),
        ("token recognition error at:", "this is no CEL:"),
        ("at '<EOF>'", "at the end"),
        ("no viable alternative at input", "this does not fit here:"),
    ):
        complaint = complaint.replace(token, plain)
    where = f"line {line}, column {column}" if line != "1" else f"column {column}"
    return f"can't be read at {where}: {complaint}."


def _verdict(rule: Rule, words: str, why: str) -> Verdict:
    return Verdict(
        rule.then,
        words,
        why,
        max(rule.approvers, len(rule.roles)),
        min(rule.roles, key=RANK.index, default=rule.role),
        rule.expires,
        rule.roles,
        rule.denials,
        rule.hold,
        rule.step_up,
    )


def _matches(rule: Rule, action: Action) -> tuple[bool, str]:
    if not rule.when:
        return True, ""
    try:
        value = _compile(rule.when).execute(_variables(action))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if rule.then is Outcome.ALLOW:
            return False, ""
        return (
            True,
            f"The rule's condition could not be computed for these arguments ({error}), so it applies.",
        )
    if not isinstance(value, bool) and rule.then is not Outcome.ALLOW:
        return True, f"The rule's condition gave {value!r} instead of true or false, so it applies."
    return value is True, ""


def _variables(action: Action) -> dict[str, Any]:
    return {
        "tool": action.tool,
        "effect": action.effect,
        "category": action.category,
        "egress": action.egress,
        "agent": action.agent,
        "arguments": action.arguments,
        "subject": action.subject,
        "tainted": action.tainted,
        "now": action.now,
    }


@lru_cache(maxsize=1024)
def _compile(expression: str) -> cel.Program:
    return cel.compile(expression)
