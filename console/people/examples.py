"""One person per role, so that a first visit can see the console as each of them."""

from dataclasses import dataclass

from django.contrib.auth.models import Group, User
from django.db import transaction

from approvals.access import ADMIN, ANALYST, OPERATOR


@dataclass(frozen=True)
class ExamplePerson:
    """Somebody of the example installation."""

    name: str
    first_name: str
    role: str


EXAMPLE_PEOPLE = (
    ExamplePerson(name="ana", first_name="Ana", role=OPERATOR),
    ExamplePerson(name="ben", first_name="Ben", role=OPERATOR),
    ExamplePerson(name="amir", first_name="Amir", role=ANALYST),
    ExamplePerson(name="ada", first_name="Ada", role=ADMIN),
)


@transaction.atomic
def make_example_people() -> list[User]:
    """The example people, made where they are missing; without a password, so that only a link lets them in.

    Somebody who is there already keeps their roles and whatever else was changed.
    """
    people = []
    for person in EXAMPLE_PEOPLE:
        is_admin = person.role == ADMIN
        user, created = User.objects.get_or_create(
            username=person.name,
            defaults={"first_name": person.first_name, "is_staff": is_admin, "is_superuser": is_admin},
        )
        if created:
            user.set_unusable_password()
            user.save(update_fields=["password"])
            user.groups.add(Group.objects.get_or_create(name=person.role)[0])
        people.append(user)
    return people
