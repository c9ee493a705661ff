"""A person's second factor: set up, confirmed, proven by a code, removed. Each is kept in the audit log."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from approvals.access import ADMIN, Actor
from approvals.exceptions import Invalid, NotAllowed
from approvals.stepup.codes import (
    block_after,
    digest_of_code,
    matching,
    new_recovery_codes,
    new_secret,
    plain,
    step_of,
)
from approvals.stepup.models import RecoveryCode, SecondFactor
from traces import sealing
from traces.recorder import record


def factor_of(user: User) -> SecondFactor | None:
    """The person's second factor, where it is confirmed."""
    return SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).first()


def pending_secret(user: User) -> str:
    """The secret that waits to be confirmed by its first code; empty where none does. Raises sealing.Unreadable."""
    factor = SecondFactor.objects.filter(user=user, confirmed_at=None).first()
    return sealing.unseal(bytes(factor.sealed)) if factor else ""


def begin(user: User, *, now: datetime) -> None:
    """Make a secret, which counts once it is confirmed. Raises Invalid where one is set up already."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if factor_of(user):
            raise Invalid("You have a second factor: remove it before you set up another.")
        SecondFactor.objects.filter(user=user).delete()
        SecondFactor.objects.create(user=user, sealed=sealing.seal(new_secret()), created_at=now)


def confirm(user: User, code: str, *, now: datetime) -> list[str]:
    """The first code: from now on it counts. Returns the recovery codes, which are shown this once. Raises Invalid."""
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().filter(user=user, confirmed_at=None).first()
        if factor is None:
            raise Invalid("Nothing waits to be confirmed: begin again.")
        step = step_of(sealing.unseal(bytes(factor.sealed)), plain(code), now=now)
        if step is None:
            raise Invalid(
                "This is not the code that the authenticator shows now. Is the phone's clock right?"
            )
        factor.confirmed_at, factor.last_step = now, step
        factor.save(update_fields=["confirmed_at", "last_step"])
        codes = _replace_codes(factor)
        _record("step_up.enrolled", f"user:{user.get_username()}", user)
    return codes


def verify(user: User, code: str, *, now: datetime) -> None:
    """Take a code of the authenticator, or a recovery code; each once.

    Raises Invalid for a wrong one, which counts, and NotAllowed while too many were wrong.
    """
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().filter(user=user).first()
        if factor is None or factor.confirmed_at is None:
            raise NotAllowed("You have no second factor: set one up on your own page.")
        if factor.blocked_until and factor.blocked_until > now:
            raise NotAllowed(
                f"Too many codes were wrong: none is taken before {factor.blocked_until:%Y-%m-%d %H:%M:%S} UTC."
            )
        problem = _take(factor, plain(code), now)
    if problem:
        raise Invalid(problem, errors=[{"path": ["code"], "message": problem}])


def renew_codes(user: User, code: str, *, now: datetime) -> list[str]:
    """New recovery codes in place of all before, for who gives a code. Raises as `verify` does."""
    verify(user, code, now=now)
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().get(user=user)
        codes = _replace_codes(factor)
        _record("step_up.codes_renewed", f"user:{user.get_username()}", user)
    return codes


def remove(user: User, code: str, *, now: datetime) -> None:
    """Have no second factor any more, for who gives a code. Raises as `verify` does."""
    verify(user, code, now=now)
    with transaction.atomic():
        SecondFactor.objects.filter(user=user).delete()
        _record("step_up.removed", f"user:{user.get_username()}", user)


def reset(user: User, *, actor: Actor | None, now: datetime) -> None:
    """Take away the factor of somebody who lost it; `actor` None: from a shell of the host.

    Raises NotAllowed for who is no admin, and for one's own: else a stolen session could bring its own factor.
    """
    if actor is not None and ADMIN not in actor.roles:
        raise NotAllowed("Resetting a second factor needs the role admin.")
    if actor is not None and actor.user.pk == user.pk:
        raise NotAllowed(
            "Another admin must reset yours; where there is none: manage.py second_factor reset NAME."
        )
    with transaction.atomic():
        SecondFactor.objects.filter(user=user).delete()
        _record("step_up.reset", str(actor) if actor else "system", user)


def _take(factor: SecondFactor, code: str, now: datetime) -> str:
    """Why the code is not taken; empty where it is, and is used up."""
    user, step = factor.user, step_of(sealing.unseal(bytes(factor.sealed)), code, now=now)
    left = RecoveryCode.objects.filter(factor=factor, used_at=None)
    spare = matching(code, left.values_list("pk", "digest"))
    if spare is not None or (step is not None and step > factor.last_step):
        factor.failures, factor.blocked_until = 0, None
        factor.last_step = max(factor.last_step, step or 0)
        factor.save(update_fields=["failures", "blocked_until", "last_step"])
        if spare is not None:
            left.filter(pk=spare).update(used_at=now)
        how = "authenticator" if spare is None else "recovery code"
        _record("step_up.proven", f"user:{user.get_username()}", user, how=how, codes_left=left.count())
        return ""
    factor.failures += 1
    block = block_after(factor.failures)
    factor.blocked_until = now + block if block else None
    factor.save(update_fields=["failures", "blocked_until"])
    _record("step_up.failed", f"user:{user.get_username()}", user, failures=factor.failures)
    if block:
        return f"This code is wrong, as were others: none is taken before {now + block:%H:%M:%S} UTC."
    return "This code was used before: wait for the next." if step is not None else "This code is wrong."


def _replace_codes(factor: SecondFactor) -> list[str]:
    RecoveryCode.objects.filter(factor=factor).delete()
    codes = new_recovery_codes()
    RecoveryCode.objects.bulk_create(
        [RecoveryCode(factor=factor, digest=digest_of_code(code)) for code in codes]
    )
    return codes


def _record(name: str, actor: str, user: User, **data: object) -> None:
    record(name, actor=actor, object_id=str(user.pk), data={"user": user.get_username(), **data})
