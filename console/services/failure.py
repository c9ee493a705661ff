"""Why a service can't be started."""


class ServiceFailure(Exception):
    """A service can't be started or used; the message is one line that says what is wrong and what to do."""
