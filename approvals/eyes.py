"""Four eyes: whose word is enough, who could give it, and what is lacking.

Where the installation asks for four eyes, who started the run, who worded what stands and who last published the agent
have a stake in an action that can't be taken back: their yes counts, but not alone. Who asked in a program's name may
never approve it, unless a single operator runs the installation; each such approval is recorded as one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from approvals.models import Approval, Kind, Revision, Terms
from approvals.policy import RANK
from traces.statement import ask, read

OPERATOR, ADMIN, SERVICE = "operator", "admin", "service"
ELECTORATE = """
SELECT person.id, username, is_superuser, array_remove(array_agg(role.name), NULL)::text[]
FROM auth_user person LEFT JOIN auth_user_groups membership ON membership.user_id = person.id
    LEFT JOIN auth_group role ON role.id = membership.group_id AND role.name = ANY ($1)
WHERE is_active AND (is_superuser OR role.id IS NOT NULL)
GROUP BY person.id ORDER BY username
"""


@dataclass(frozen=True, slots=True)
class Voice:
    """Somebody who said yes, or could, and the highest role in which."""

    user: int
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Needs:
    """Who must say yes."""

    approvers: int
    role: str
    roles: tuple[str, ...] = ()
    stakes: tuple[tuple[int, str], ...] = ()  # user, and why it can't be only they
    four_eyes: bool = False

    @property
    def in_words(self) -> str:
        """Such as "2 people with the role operator"."""
        if self.roles:
            return " and ".join(f"one {role}" for role in self.roles)
        return f"{self.approvers} {'people' if self.approvers > 1 else 'person'} with the role {self.role}"


def lacking(voices: Sequence[Voice], needs: Needs) -> str:
    """What these voices lack to be enough, in words; empty where they are enough. Pure."""
    missing = needs.approvers - len(voices)
    if missing > 0:
        return f"{missing} more must say yes"
    if role := uncovered(needs.roles, [voice.role for voice in voices]):
        return f"somebody with the role {role} must say yes, beside the others"
    if needs.four_eyes and not independent(voices, needs.stakes):
        why = dict(needs.stakes)
        told = ", ".join(f"{voice.name} {why[voice.user]}" for voice in voices)
        return f"somebody else must say yes too, since {told}"
    return ""


def uncovered(wanted: Sequence[str], held: Sequence[str]) -> str:
    """The lowest role of `wanted` for which no different person is left; empty where each has one.

    A higher role serves for a lower, so the highest wanted take the highest held.
    """
    free = sorted((RANK.index(role) for role in held), reverse=True)
    for place, role in enumerate(sorted(wanted, key=RANK.index, reverse=True)):
        if place >= len(free) or free[place] < RANK.index(role):
            return role
    return ""


def independent(voices: Collection[Voice], stakes: Sequence[tuple[int, str]]) -> bool:
    """Whether one of them has no stake."""
    return any(voice.user not in dict(stakes) for voice in voices)


def needs_of(approval: Approval, terms: Terms) -> Needs:
    """Who must say yes to what stands now: as it was asked, and whoever worded it since."""
    stakes = [(int(stake["user"]), str(stake["why"])) for stake in terms.stakes]
    if approval.revision > 1:
        editor = Revision.objects.filter(approval=approval, number=approval.revision).first()
        if editor is not None and editor.edited_by_id is not None:
            stakes.append((editor.edited_by_id, "changed it"))
    return Needs(
        approvers=max(approval.approvers, len(terms.roles)),
        role=approval.role,
        roles=tuple(terms.roles),
        stakes=tuple(stakes),
        four_eyes=four_eyes(approval.kind, approval.effect, approval.risk),
    )


def four_eyes(kind: str, effect: str, risk: str) -> bool:
    """Whether somebody without a stake must agree; what isn't known to be less counts as high risk."""
    return (
        settings.FOUR_EYES
        and kind == Kind.ACTION
        and (effect == "irreversible" or risk not in ("low", "medium"))
    )


def terms_of(approval: Approval) -> Terms:
    """What was asked beside the request; of an older one, nothing more."""
    known: Any = Approval._meta.get_field("terms")
    if not known.is_cached(approval):
        asked = read(Terms, "approval_id = $1", approval.pk)
        known.set_cached_value(approval, asked[0] if asked else None)
    terms: Terms | None = known.get_cached_value(approval)
    return terms or Terms(approval=approval)


def electorate() -> list[Voice]:
    """The people who may decide something, by name, each in the highest role."""
    return [
        Voice(user, name, ADMIN if superuser or ADMIN in held else OPERATOR)
        for user, name, superuser, held in ask(ELECTORATE, [*RANK, SERVICE])
        if (superuser or not set(RANK).isdisjoint(held)) and SERVICE not in held
    ]


def eligible(people: Sequence[Voice], role: str, *, asker: int | None) -> list[Voice]:
    """Those of `people` who may decide what needs `role`; who asked may not."""
    barred = None if settings.SINGLE_OPERATOR else asker
    return [each for each in people if RANK.index(each.role) >= RANK.index(role) and each.user != barred]


def shortfall(voices: Sequence[Voice], needs: Needs) -> str:
    """Why nobody could approve this, though all these people agreed; empty where they could."""
    if settings.SINGLE_OPERATOR:
        needs = Needs(needs.approvers, needs.role, needs.roles)
    if not lacking(voices, needs):
        return ""
    there = ", ".join(voice.name for voice in voices) or "nobody"
    told = f"Nobody is left who could approve this: it needs {needs.in_words}, and there is {there}."
    stakes = dict(needs.stakes)
    held = [f"{voice.name} {stakes[voice.user]}" for voice in voices if voice.user in stakes]
    if needs.four_eyes and held:
        told += f" Not alone: {', '.join(held)}."
    return told


def stake(user: User | None, why: str) -> list[dict[str, Any]]:
    """A person's stake, as it is kept with the request."""
    return [{"user": user.pk, "name": user.get_username(), "why": why}] if user else []


def terms(
    needs: Needs,
    *,
    denials: int,
    hold: int,
    stakes: list[dict[str, Any]],
    asker: int | None,
    step_up: bool = False,
) -> Terms:
    """What is kept beside a new request: what its rule asks, and who could answer now. Asks the database."""
    voices = eligible(electorate(), needs.role, asker=asker)
    return Terms(
        roles=list(needs.roles),
        denials=denials,
        hold=hold,
        step_up=step_up,
        stakes=stakes,
        could_approve=[voice.name for voice in voices],
        lacking=shortfall(voices, needs),
    )
