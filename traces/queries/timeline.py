"""A time axis on which work stays visible, however long somebody was waited for."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Interval = tuple[float, float]  # moments in seconds, as in Unix time

QUIET_SHARE = 0.05  # of the time at work: the most that a stretch without work takes up


@dataclass(frozen=True, slots=True)
class Timeline:
    """Maps a moment to its place between 0 and 1; stretches in which nothing worked may be shortened."""

    moments: Sequence[float]
    places: Sequence[float]
    shortened: bool

    def place(self, moment: float) -> float:
        """Where `moment` stands; outside of the axis, its nearer end."""
        if moment <= self.moments[0]:
            return 0.0
        if moment >= self.moments[-1]:
            return 1.0
        before = bisect_right(self.moments, moment) - 1
        start, end = self.moments[before], self.moments[before + 1]
        share = (moment - start) / (end - start)
        return self.places[before] + share * (self.places[before + 1] - self.places[before])


def timeline(work: Iterable[Interval], *, start: float, end: float) -> Timeline:
    """The axis from `start` to `end` on which `work` is to scale and each pause takes at most QUIET_SHARE of it."""
    merged = _merged(work, start, end)
    busy = sum(last - first for first, last in merged)
    longest_pause = busy * QUIET_SHARE if busy else None
    moments, shown, shortened = [start], [0.0], False
    for first, last in [*merged, (end, end)]:
        pause = first - moments[-1]
        drawn = pause if longest_pause is None else min(pause, longest_pause)
        shortened = shortened or drawn < pause
        for moment, length in ((first, drawn), (last, last - first)):
            if moment > moments[-1]:
                moments.append(moment)
                shown.append(shown[-1] + length)
    whole = shown[-1] or 1.0
    return Timeline(moments=moments, places=[length / whole for length in shown], shortened=shortened)


def _merged(work: Iterable[Interval], start: float, end: float) -> list[Interval]:
    merged: list[Interval] = []
    for first, last in sorted((max(first, start), max(first, min(last, end))) for first, last in work):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
