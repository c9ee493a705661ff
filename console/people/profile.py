"""How a person wants the console to behave."""

from django.contrib.auth.models import AnonymousUser, User

from console.models import Profile

_KEPT = "_gatehouse_profile"  # on the user object, that is for one request


def profile_of(user: User | AnonymousUser) -> Profile:
    """The person's wishes; the usual ones where none were said."""
    if not isinstance(user, User):
        return Profile()
    found: Profile | None = getattr(user, _KEPT, None)
    if found is None:
        found = Profile.objects.filter(user=user).first() or Profile(user=user)
        setattr(user, _KEPT, found)
    return found
