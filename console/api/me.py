"""Who calls."""

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja import Router
from ninja.responses import Status

from console.api.auth import ANY, ASK, actor_of, token_of
from console.api.problems import Problem
from console.api.shapes import MeOut, WebhookSecretOut
from console.callbacks import keys
from console.people.tokens import agent_of, revoke_tokens, scopes_of
from traces.sealing import Unreadable

router = Router(tags=["me"], auth=ANY)


@router.get("", response=MeOut, operation_id="get_me", summary="Who am I?")
def read(request: HttpRequest) -> MeOut:
    """The user, and what this token may do."""
    token = token_of(request)
    return MeOut(
        user=token.user.get_username(),
        role=token.role,
        scopes=scopes_of(token),
        token=token.prefix,
        agent=agent_of(token),
        expires_at=token.expires_at,
        rate_limit=settings.API_RATE,
    )


@router.delete("/token", response={204: None}, operation_id="revoke_my_token", summary="Revoke this token")
def revoke(request: HttpRequest) -> Status[None]:
    """From now on it lets nobody in."""
    revoke_tokens([token_of(request)], by=str(actor_of(request)), now=timezone.now())
    return Status(204, None)


@router.get(
    "/webhook-secret",
    response=WebhookSecretOut,
    auth=ASK,
    operation_id="get_webhook_secret",
    summary="Read the signing secret",
)
def secret(request: HttpRequest) -> WebhookSecretOut:
    """With what callbacks to this user's programs are signed; made at the first look."""
    try:
        return WebhookSecretOut(secret=keys.current_secret(actor_of(request).user, now=timezone.now()))
    except Unreadable as error:
        raise Problem(409, "wrong_state", f"{error} A POST here makes a new one.") from error


@router.post(
    "/webhook-secret",
    response=WebhookSecretOut,
    auth=ASK,
    operation_id="rotate_webhook_secret",
    summary="Replace the signing secret",
)
def rotate(request: HttpRequest) -> WebhookSecretOut:
    """A new one; for 24 hours callbacks carry the signature of the old one, too."""
    actor = actor_of(request)
    return WebhookSecretOut(secret=keys.rotate(actor.user, by=str(actor), now=timezone.now()))
