"""The canonical form of an action: two actions have one digest if, and only if, they are the same."""

import hashlib
from typing import Any

import rfc8785

from approvals.exceptions import Invalid


def digest_of(value: Any) -> str:
    """SHA-256, in hex, of `value` as RFC 8785 canonical JSON.

    Raises Invalid where JSON has no one form for it: integers beyond 2**53, NaN, lone surrogates.
    """
    try:
        return hashlib.sha256(rfc8785.dumps(value)).hexdigest()
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise Invalid(
            f"This value has no canonical JSON form ({error}): send whole numbers beyond 2^53 as strings."
        ) from error


def action_digest(
    *, tool: str, tool_digest: str, arguments: dict[str, Any], subject: dict[str, Any], policy_digest: str
) -> str:
    """Digest of exactly what was shown: tool and its definition, arguments, on whose behalf, under which policy."""
    return digest_of(
        {
            "tool": tool,
            "tool_digest": tool_digest,
            "arguments": arguments,
            "subject": subject,
            "policy_digest": policy_digest,
        }
    )
