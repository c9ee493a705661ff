"""One-time sign-in links, for the first visit and for whoever can run commands on the host."""

from datetime import datetime, timedelta
from urllib.parse import quote

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core import signing
from django.utils import timezone

VALID_FOR = timedelta(hours=1)
SALT = "console.people.links"


def make_link(user: User) -> str:
    """The path of a page that signs `user` in: once, within an hour, and only until they sign in some other way."""
    token = signing.dumps([user.pk, _stamp(user.last_login)], salt=SALT)
    return f"/sign-in/{quote(token)}"


def use_link(*, token: str, now: datetime | None = None) -> User | None:
    """The user whom `token` signs in, for exactly one caller; None where it is spent, too old, or not ours.

    The token names the moment of the last sign-in, and using it changes that moment: of two who use it at once, one
    finds it changed.
    """
    try:
        pk, last_login = signing.loads(token, salt=SALT, max_age=VALID_FOR)
    except signing.BadSignature:
        return None
    stamp = datetime.fromisoformat(last_login) if last_login else None
    users = get_user_model().objects.filter(pk=pk, is_active=True)
    if users.filter(last_login=stamp).update(last_login=now or timezone.now()) != 1:
        return None
    return users.get()


def _stamp(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
