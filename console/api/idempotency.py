"""Creating something at most once, however often the request for it arrives."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from ninja import Header, Schema
from ninja.responses import Status

from console.api.auth import actor_of
from console.api.problems import Problem
from console.models import IdempotencyRecord

KEPT = timedelta(days=1)
CREATED = 201
SWEPT = 100  # old records that one new record takes away with it

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="Chosen by the caller: within a day, the same key with the same body has one effect, and one answer.",
        max_length=200,
        pattern=r"^[\x21-\x7e]*$",
    ),
]


class KeyReused(Exception):
    """The key stands for another request."""


def create_once(
    request: HttpRequest,
    key: str,
    create: Callable[[], Schema],
    *,
    sent: bytes | None = None,
    status: int = CREATED,
) -> Status[object]:
    """`status` with what `create` returns; the answer of the first time where `key` was used before. Raises Problem.

    `sent` stands for the body, where that was a form.
    """
    if not key:
        return Status(status, create())
    sent = f"{request.method} {request.path}\n".encode() + (request.body if sent is None else sent)
    try:
        answer = once(actor_of(request).user, key, sent, lambda: create().model_dump(mode="json"))
    except KeyReused as error:
        raise Problem(
            422,
            "key_reused",
            f"Idempotency-Key: {error}",
            errors=[{"path": ["Idempotency-Key"], "message": str(error)}],
        ) from error
    return Status(status, answer)


def once(user: User, key: str, sent: bytes, create: Callable[[], Any]) -> Any:
    """What `create` returns (JSON); what it returned the first time where the user sent the same with `key` before.

    The record and what `create` makes are one transaction, and a second request with the same key waits for its
    end: of any number at once, one creates. A refused request leaves no record, so that it can be mended and sent
    again with the same key. Raises KeyReused.
    """
    now, digest = timezone.now(), hashlib.sha256(sent).hexdigest()
    with transaction.atomic():
        _forget_old(before=now - KEPT)
        record, fresh = IdempotencyRecord.objects.get_or_create(
            user=user, key=key, defaults={"request_digest": digest, "created_at": now}
        )
        if fresh:
            record.answer = create()
            record.save(update_fields=["answer"])
        elif record.request_digest != digest:
            raise KeyReused(f"the key {key!r} was used for another request: choose a new one")
    return record.answer


def _forget_old(*, before: object) -> None:
    old = IdempotencyRecord.objects.filter(created_at__lt=before).select_for_update(skip_locked=True)
    IdempotencyRecord.objects.filter(pk__in=old.values("pk")[:SWEPT]).delete()
