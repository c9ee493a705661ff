"""How much depends on a decision, and why: from what the tool declares, what was read, how much, and what is new."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from approvals.scopes import is_number

LEVELS = ("low", "medium", "high")
EGRESS = "it reaches others outside"
FAR = 3.0  # times the usual
ENOUGH = 5  # calls, from which on there is a usual
LOOKED_AT = 200  # of the latest calls of a tool: what is new is judged by these

# Numbers that say which, not how much.
_NAMES_ONE = re.compile(
    r"(^|[_-])(?i:id|no|nr|number|code|zip|postcode|phone|year|page|offset|limit|version)$"
    r"|[a-z](Id|ID|No|Nr|Number|Code|Year)$"
)


@dataclass(frozen=True, slots=True)
class Past:
    """What ran before, of the latest calls of the same tool."""

    by_asker: Sequence[Mapping[str, Any]] = ()  # arguments of those of the same agent or program
    for_subject: bool = True  # whether one of these was for the same subject; True, too, where there is none
    is_whole: bool = True  # whether these are all calls that there ever were


@dataclass(frozen=True, slots=True)
class Risk:
    """How much depends on it, and why, in words."""

    level: str  # low, medium, high
    reasons: tuple[str, ...]


def assess(
    *,
    effect: str,
    egress: bool = False,
    tainted: bool = False,
    arguments: Mapping[str, Any] | None = None,
    past: Past | None = None,
) -> Risk:
    """The risk of a call. Without `past`, by what is declared alone. What isn't known to be less counts as high.

    Irreversible is high. Else it begins at low, and is medium at least where it can be reversed only, reaches third
    parties, comes after outsiders' text, or is new to the asker; an amount far above the usual is one level more.
    """
    reasons, level = [], 0
    if effect == "irreversible" or effect not in ("read", "reversible"):
        reasons.append("it can't be undone" if effect == "irreversible" else "its effect isn't known")
        level = 2
    elif effect == "reversible":
        reasons.append("it changes something, which can be undone")
        level = 1
    else:
        reasons.append("it only reads")
    if egress:
        reasons.append(EGRESS)
        level = max(level, 1)
    if tainted:
        reasons.append("outsiders wrote some of what was read before")
        level = max(level, 1)
    if past is not None:
        if not past.by_asker:
            few = "" if past.is_whole else f" among the last {LOOKED_AT}"
            reasons.append(f"no call of this tool by who asks is known to have run before{few}")
            level = max(level, 1)
        elif not past.for_subject:
            reasons.append("no call before was for the same subject")
        if unusual := unusual_amounts(arguments or {}, past.by_asker):
            reasons += unusual
            level += 1
    return Risk(LEVELS[min(level, 2)], tuple(reasons))


def unusual_amounts(arguments: Mapping[str, Any], past: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each amount that is far above the usual of `past` and above all of it, in words."""
    found = []
    for name, value in amounts(arguments).items():
        before = [abs(known[name]) for each in past if name in (known := amounts(each))]
        if len(before) < ENOUGH:
            continue
        usual = median(before)
        if abs(value) > FAR * usual and abs(value) > max(before):
            found.append(f"{name} {value:,} is far above the usual {usual:,} of {len(before)} calls before")
    return found


def amounts(arguments: Mapping[str, Any]) -> dict[str, float]:
    """The arguments that say how much."""
    return {
        name: value for name, value in arguments.items() if is_number(value) and not _NAMES_ONE.search(name)
    }
