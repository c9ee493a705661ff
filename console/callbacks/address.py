"""Where callbacks may go."""

from agents.tools import egress
from approvals.exceptions import Invalid


def check_address(url: str) -> None:
    """Raise Invalid, saying why, unless the egress rules let callbacks go to `url`.

    What its name leads to is looked at whenever something is sent there.
    """
    try:
        egress.require(url)
    except egress.EgressRefused as error:
        problem = str(error)
        raise Invalid(
            f"callback_url: {problem}", errors=[{"path": ["callback_url"], "message": problem}]
        ) from error
