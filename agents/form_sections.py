"""The parts of a configuration that a form shows as YAML: what each is for, and how it is read and written."""

from typing import Any

from agents.shorthand import in_line

PATTERN_SECTIONS = ("router", "coordinator", "chain", "plan", "fast_path")
BEHAVIOUR_SECTIONS = ("degraded", "context", "conversations", "rates", "memory", "answer_cache")
SECTIONS = PATTERN_SECTIONS + BEHAVIOUR_SECTIONS
FIELD_OF = {"router": "routing"}  # the role `router` has a field of that name already

HELP = {
    "router": (
        "With the pattern router: classes of requests, the agent that works on each, and the class that is taken when "
        "none fits.\nroutes:\n- {name: refunds, when: money back, agent: refunder}\ndefault: refunds\nconfidence_min: 0.6"
    ),
    "coordinator": (
        "With the pattern coordinator: to whom it gives parts of a task.\n"
        "agents:\n- {agent: researcher, when: facts are missing}\nfan_out: 5 (parts at most)\ndepth: 2"
    ),
    "chain": (
        "With the pattern chain: what is done, in order; each link gets what the one before it said.\n"
        "- {title: Read, instructions: Find the dates., categories: [lookup]}\n- {title: Write, instructions: Answer.}"
    ),
    "plan": "With plan_execute. approve: true has a person approve or edit each plan before it is carried out.",
    "fast_path": (
        "With plan_execute: requests that the router's model finds simple skip the planner.\n"
        "when: the status of one order is asked\nconfidence_min: 0.8"
    ),
    "degraded": (
        "While no model answers. mode: wait (the default), reply or hand_over; with reply, say what to answer.\n"
        "mode: reply\nreply: We are slow today and will write to you."
    ),
    "context": (
        "summarise_at: 0.7 (share of the window), result_max: 16000 (characters of a result, above which it is kept "
        "apart), reinforce_every: 8 (messages, after which the instructions are said again)"
    ),
    "conversations": (
        "idle: 30m (then a session is summarised and closed), busy: wait or take_in (a message that comes while a run "
        "goes on), messages: 200 (of a session), open_per_user: 20"
    ),
    "rates": "Runs that may begin within a minute; 0: any number. agent: 0, user: 60, session: 20",
    "memory": (
        "scratchpad: true gives a run notes; long_term: true lets it remember earlier runs for whom it acts; "
        "recall: 3 (memories at most), keep: 90d"
    ),
    "answer_cache": (
        "Gives answers again, to the same customer or user and for questions alone. keep: 1h, similarity: 0.97 (1: the "
        "same words). Empty: never."
    ),
}


def field_of(section: str) -> str:
    """The name of the form's field."""
    return FIELD_OF.get(section, section)


def write_section(stored: dict[str, Any], section: str) -> str:
    """A part of a stored configuration as people edit it; empty where all is as by default."""
    value = stored.get(section)
    if not value:
        return ""
    if isinstance(value, list):
        return "".join(f"- {in_line(item)}\n" for item in value)
    return "".join(f"{in_line({name: item})[1:-1]}\n" for name, item in value.items())


def shape_error(section: str, value: Any) -> str:
    """What is wrong with the form of a part as a whole; empty where nothing is."""
    if section == "chain":
        return "" if isinstance(value, list) else "Write a list: each link on a line that begins with a dash."
    return "" if isinstance(value, dict) else "Write keys with values, as shown below."
