"""What can go wrong at the gate. `str()` is a message for the person or program that asked."""

from typing import Any


class GateError(Exception):
    """Base of all that the gate refuses; nothing was changed."""

    code = "gate_error"


class NotAllowed(GateError):
    """This person or token may not do this."""

    code = "not_allowed"


class StepUpNeeded(NotAllowed):
    """It takes a second factor, which this person has not given, or this way can't carry."""

    code = "step_up_needed"


class Missing(GateError):
    """There is no such request, or not for this person."""

    code = "not_found"


class AlreadyResolved(GateError):
    """Somebody or something was first."""

    code = "already_resolved"

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.status = status


class DeniedBefore(GateError):
    """A person denied exactly this, and it is not asked again; `approval` is that request."""

    code = "denied_before"

    def __init__(self, message: str, *, approval: str) -> None:
        super().__init__(message)
        self.approval = approval


class Stale(GateError):
    """The person was shown something else than what would run now."""

    code = "stale_digest"

    def __init__(self, message: str, *, digest: str) -> None:
        super().__init__(message)
        self.digest = digest


class Invalid(GateError):
    """What was sent can't be used; `errors` names each place, for the form."""

    code = "invalid"

    def __init__(self, message: str, *, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or []


class Halted(GateError):
    """An emergency stop stands."""

    code = "halted"


class Flooded(GateError):
    """Who asks put more questions to people than it may; nobody was asked."""

    code = "flooded"
