"""What is checked around the model, and which calls people decide."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from agents.config.strict import Seconds, Strict
from approvals.policy import Outcome, Rule, check_condition


class PolicyRule(Strict):
    """One line of the policy; the first that matches decides."""

    tool: str = ""
    effect: Literal["", "read", "reversible", "irreversible"] = ""
    when: str = ""
    then: Literal["allow", "require", "deny", "mask"]
    approvers: int = Field(1, ge=1, le=10)
    role: Literal["operator", "admin"] = "operator"
    expires: Seconds | None = None
    roles: tuple[Literal["operator", "admin"], ...] = Field(
        (), max_length=10
    )  # one different person for each
    denials: int = Field(1, ge=1, le=10)  # people who must say no before it is denied
    hold: Seconds | None = Field(None, le=3600)  # after the approval, in which it can be recalled

    mask: tuple[str, ...] = Field((), max_length=20)  # paths of arguments, such as payee.iban
    seen_by: Literal["operator", "admin"] = "admin"  # who sees them none the less
    step_up: bool = False  # who approves gives a second factor

    @model_validator(mode="after")
    def _people_only_where_asked(self) -> "PolicyRule":
        if self.then != "require" and (self.roles or self.denials > 1 or self.hold or self.step_up):
            raise ValueError(
                f"roles, denials, hold and step_up are for rules that ask people; this one says {self.then}."
            )
        if (self.then == "mask") != bool(self.mask):
            raise ValueError("mask names the arguments of a rule that says mask, and of no other.")
        if wrong := next((path for path in self.mask if not all(path.split("."))), None):
            raise ValueError(f"mask: {wrong!r} is no path; write a name, or names with dots between.")
        if self.roles and self.role != "operator":
            raise ValueError("a rule has role or roles, not both.")
        return self

    @field_validator("when")
    @classmethod
    def _condition(cls, value: str) -> str:
        if value and (error := check_condition(value)):
            raise ValueError(f"the condition {value!r} {error}")
        return value

    def rule(self) -> Rule:
        """As the gate knows it."""
        values = self.model_dump()
        return Rule(**{**values, "then": Outcome(self.then), "hold": self.hold or 0})


def _switch(value: Any) -> Any:
    """YAML reads a bare `on` or `off` as true or false."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


class Guardrails(Strict):
    """What is checked around the model."""

    input_max: int = Field(5000, ge=1, le=1_000_000)  # characters
    scope: str = ""
    confidence_min: float = Field(0.6, ge=0, le=1)  # below, the run is escalated
    verify: Literal["on", "off"] = "on"  # identifiers and amounts of the answer must stand in what was read

    _verify_switch = field_validator("verify", mode="before")(_switch)
