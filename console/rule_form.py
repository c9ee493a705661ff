"""The rules of an agent as rows of a form, and what its buttons do to them."""

from collections.abc import Mapping
from typing import Any

from agents.config.guardrails import PolicyRule
from agents.shorthand import as_duration

FIELDS = (
    "tool",
    "effect",
    "when",
    "then",
    "approvers",
    "people",
    "expires",
    "denials",
    "hold",
    "step_up",
    "mask",
    "seen_by",
)
PEOPLE = {
    "operator": "operators",
    "admin": "admins",
    "operator,admin": "one operator and one admin",
    "admin,admin": "two admins",
}
COMPARISONS = ("<=", "<", ">=", ">", "==", "!=")
CONDITIONS = {  # whole conditions that take no argument
    "tainted": "outsiders' text was read",
    "!tainted": "no outsiders' text was read",
    "now.getHours() >= 18 || now.getHours() < 8": "at night, 18 to 8 UTC",
    "now.getDayOfWeek() == 0 || now.getDayOfWeek() == 6": "at the weekend, UTC",
    "egress": "data leaves the house",
}
MAX_ROWS = 100

Row = dict[str, str]


def rows_of(policy: tuple[PolicyRule, ...]) -> list[Row]:
    """The rules as the form shows them."""
    return [
        {
            "tool": rule.tool,
            "effect": rule.effect,
            "when": rule.when,
            "then": rule.then,
            "approvers": str(rule.approvers),
            "people": ",".join(rule.roles) or rule.role,
            "expires": as_duration(rule.expires) if rule.expires else "",
            "denials": str(rule.denials),
            "hold": as_duration(rule.hold) if rule.hold else "",
            "mask": ", ".join(rule.mask),
            "seen_by": rule.seen_by,
            "step_up": "on" if rule.step_up else "",
        }
        for rule in policy
    ]


def rows_sent(form: Mapping[str, str]) -> list[Row]:
    """The rows as they were sent."""
    try:
        count = min(int(form.get("rows", "0")), MAX_ROWS)
    except ValueError:
        count = 0
    return [{name: form.get(f"rule-{place}-{name}", "").strip() for name in FIELDS} for place in range(count)]


def as_policy(rows: list[Row]) -> list[dict[str, Any]]:
    """The rows as an agent's configuration has them; what is wrong with them the configuration says."""
    return [_rule(row) for row in rows]


def changed_by(rows: list[Row], button: str, form: Mapping[str, str]) -> list[Row]:
    """The rows after a button: `add`, `up:2`, `down:2`, `remove:2`, `condition:2`. Anything else changes nothing."""
    what, _, at = button.partition(":")
    if what == "add":
        blank = dict.fromkeys(FIELDS, "") | {
            "then": "require",
            "approvers": "1",
            "people": "operator",
            "denials": "1",
        }
        return [*rows, blank]
    if not at.isdecimal() or int(at) >= len(rows):
        return rows
    place = int(at)
    row = rows[place]
    rest = [*rows[:place], *rows[place + 1 :]]
    match what:
        case "remove":
            return rest
        case "up" | "down":
            to = max(place - 1, 0) if what == "up" else place + 1
            return [*rest[:to], row, *rest[to:]]
        case "condition":
            if added := condition(form, place):
                row["when"] = f"({row['when']}) && ({added})" if row["when"] else added
    return rows


def condition(form: Mapping[str, str], place: int) -> str:
    """What the helper of a row says, as CEL; empty where it says nothing."""
    about, value = form.get(f"helper-{place}-about", ""), form.get(f"helper-{place}-value", "").strip()
    comparison = form.get(f"helper-{place}-comparison", "==")
    if about in CONDITIONS:
        return about
    if not about or not value or comparison not in COMPARISONS:
        return ""
    return f"{about} {comparison} {_literal(value)}"


def _literal(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return value if value in ("true", "false") else f"'{escaped}'"
    return repr(number)  # CEL compares numbers of any kind with a double


def _rule(row: Row) -> dict[str, Any]:
    rule: dict[str, Any] = {name: row[name] for name in ("tool", "effect", "when") if row[name]}
    rule["then"] = row["then"]
    if row["then"] == "mask":
        paths = [path.strip() for path in row["mask"].split(",") if path.strip()]
        return rule | {"mask": paths} | ({"seen_by": row["seen_by"]} if row["seen_by"] else {})
    if row["then"] != "require":
        return rule
    roles = [role for role in row["people"].split(",") if role]
    rule |= {"roles": roles} if len(roles) > 1 else {"role": roles[0] if roles else "operator"}
    for name in ("approvers", "denials"):
        if row[name] not in ("", "1"):
            rule[name] = int(row[name]) if row[name].isdecimal() else row[name]
    if row["step_up"]:
        rule["step_up"] = True
    return rule | {name: row[name] for name in ("expires", "hold") if row[name]}
