"""Where a run stands among those that started each other."""

from agents.config import AgentConfig
from agents.models import Run

MAX_DEPTH = 8  # runs above one, whatever they are
STARTERS = frozenset({"router", "coordinator"})  # patterns whose runs start others


def agents_above(run: Run) -> tuple[str, ...]:
    """The agents of the runs above, the nearest first: an emergency stop of one holds this run too."""
    names = []
    above = run.parent_id
    while above is not None:
        parent = Run.objects.only("parent_id", "version__agent__name").select_related("version__agent")
        found = parent.get(pk=above)
        names.append(found.version.agent.name)
        above = found.parent_id
    return tuple(names)


def too_deep(config: AgentConfig, run: Run) -> str:
    """Why the run stands too deep to begin; empty: it doesn't."""
    if run.depth > MAX_DEPTH:
        return f"There are {run.depth} runs above this one; at most {MAX_DEPTH} may be."
    levels = (run.budget or {}).get("depth")
    if config.coordinator is not None and levels is not None and levels < 1:
        return "A coordinator above this one allows no further coordinator under it (coordinator.depth)."
    return ""
