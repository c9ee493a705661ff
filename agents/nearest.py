"""What somebody may have meant who wrote a name that is not known."""

import difflib
from collections.abc import Iterable

SHOWN = 20  # names in a sentence


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that `name` resembles most, whatever its case; empty where it resembles none."""
    by_fold = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.5)
    return by_fold[near[0]] if near else ""


def hint(name: str, known: Iterable[str]) -> str:
    """A sentence that leads from `name` to what is known: the nearest, or all."""
    names = list(known)
    if near := nearest(name, names):
        return f"did you mean {near!r}?"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"known: {', '.join(names[:SHOWN]) or 'none'}{more}."
