"""What changed since the baseline: the results that a person accepted. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """Cases by name, in the order of the suite."""

    regressions: tuple[str, ...]  # fail now, and passed before or are new
    improvements: tuple[str, ...]  # pass now, and failed before
    gone: tuple[str, ...]  # were in the baseline


def compare(now: Mapping[str, bool | None], before: Mapping[str, bool | None]) -> Comparison:
    """Whether each case passes now (None: it goes on), beside whether it did before.

    Where nothing was accepted, all are new.
    """
    return Comparison(
        regressions=tuple(
            case for case, passed in now.items() if passed is False and before.get(case) is not False
        ),
        improvements=tuple(case for case, passed in now.items() if passed and before.get(case) is False),
        gone=tuple(case for case in before if case not in now),
    )
