"""The caller, as the API knows it."""

from datetime import datetime

from ninja import Schema
from pydantic import Field


class MeOut(Schema):
    """Who calls, by which token, and what it may do."""

    user: str
    role: str
    scopes: list[str] = Field(description="What the token may do, as far as the role may.")
    token: str = Field(description="How the token begins.")
    agent: str = Field(description="As which agent its calls are judged; empty: none.")
    expires_at: datetime | None
    rate_limit: int = Field(description="Requests a minute.")


class WebhookSecretOut(Schema):
    """With what callbacks to this user's programs are signed."""

    secret: str = Field(description="whsec_…, as Standard Webhooks take it.")
