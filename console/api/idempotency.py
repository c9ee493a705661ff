"""Creating something at most once, however often the request for it arrives."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

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


def create_once(request: HttpRequest, key: str, create: Callable[[], Schema]) -> Status[object]:
    """201 with what `create` returns; the answer of the first time where `key` was used before.

    The record and what `create` makes are one transaction, and a second request with the same key waits for its
    end: of any number at once, one creates. A refused request leaves no record, so that it can be mended and sent
    again with the same key. Raises Problem where the key stands for another request.
    """
    if not key:
        return Status(CREATED, create())
    now = timezone.now()
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode() + request.body).hexdigest()
    with transaction.atomic():
        _forget_old(before=now - KEPT)
        record, fresh = IdempotencyRecord.objects.get_or_create(
            user=actor_of(request).user, key=key, defaults={"request_digest": digest, "created_at": now}
        )
        if fresh:
            record.answer = create().model_dump(mode="json")
            record.save(update_fields=["answer"])
        elif record.request_digest != digest:
            message = f"the key {key!r} was used for another request: choose a new one"
            raise Problem(
                422,
                "key_reused",
                f"Idempotency-Key: {message}",
                errors=[{"path": ["Idempotency-Key"], "message": message}],
            )
    return Status(CREATED, record.answer)


def _forget_old(*, before: object) -> None:
    old = IdempotencyRecord.objects.filter(created_at__lt=before).select_for_update(skip_locked=True)
    IdempotencyRecord.objects.filter(pk__in=old.values("pk")[:SWEPT]).delete()
