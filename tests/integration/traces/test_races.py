"""Twenty people decide the same hundred requests at the same time: one outcome each, and the chain stays whole.

`RACE_ROUNDS=1000 make test ARGS=tests/integration/traces/test_races.py` runs it as often as one may wish.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
from django.utils import timezone

from agents.decisions import decide
from approvals.access import Actor
from approvals.exceptions import AlreadyResolved
from approvals.models import Approval, Decision
from approvals.programs import ask_for_program
from tests import world
from tests.racing import Race, at_once
from tests.waiting import until
from traces.audit import sealer
from traces.audit.export import log_lines, written
from traces.audit.sealer import seal_due, unsealed_count
from traces.audit.stored import verify_stored
from traces.audit.verification import parse_lines, verify
from traces.ids import new_id
from traces.models import Event

ROUNDS = int(os.environ.get("RACE_ROUNDS", "2"))
DECIDERS, REQUESTS = 20, 100
VERDICTS = {"approve": "approved", "reject": "denied"}
REST = 0.05  # s between two looks of a sealer: one that never rests would only take the deciders' time

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.req("APR-4", "APR-9"),
    pytest.mark.timeout(120 + 60 * ROUNDS),
]


@pytest.fixture(autouse=True)
def short_turns() -> Iterator[None]:
    """Threads take turns oftener than they do by themselves: they meet at more places, and wait less for each other."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 10)
    yield
    sys.setswitchinterval(usual)


def ask(program: Actor, count: int) -> list[Approval]:
    """One request as a program asks it, and copies of it: what is raced here is how they are decided."""
    first = ask_for_program(
        actor=program,
        tool=f"pay_{new_id().hex}",  # what was denied is not asked again
        arguments={"amount": 40},
        effect="irreversible",
        expires_in=900,
        now=timezone.now(),
    )
    values = {field.attname: getattr(first, field.attname) for field in Approval._meta.concrete_fields}
    copies = [Approval(**values | {"id": new_id()}) for _ in range(count - 1)]
    return [first, *Approval.objects.bulk_create(copies)]


def decide_all(person: Actor, asked: list[Approval]) -> dict[str, str]:
    """Try to decide each; what this person decided, by id."""
    won = {}
    for approval in asked:
        say = random.choice(list(VERDICTS))
        try:
            decide(approval_id=approval.pk, actor=person, decision=say, digest=approval.digest, reason="So.")
            won[str(approval.pk)] = VERDICTS[say]
        except AlreadyResolved:
            continue
    return won


def seal_until(over: threading.Event) -> int:
    sealed = 0
    while not over.wait(REST):
        sealed += seal_due()
    return sealed


def race(people: list[Actor], asked: list[Approval], *, in_step: bool) -> dict[str, tuple[str, str]]:
    """All decide all, `in_step` in the same order, so that they meet at each, while two sealers seal.

    Who decided what, and how, by id; fails where two did.
    """
    orders = [asked if in_step else random.sample(asked, len(asked)) for _ in people]
    over = threading.Event()
    sealing = [Race(partial(seal_until, over)) for _ in range(2)]
    won = at_once(*(partial(decide_all, *each) for each in zip(people, orders, strict=True)))
    over.set()
    counts = [sealer.outcome() for sealer in sealing]
    assert all(isinstance(count, int) for count in counts), counts
    assert all(isinstance(each, dict) for each in won), won
    assert sum(map(len, won)) == len(asked), [len(each) for each in won]
    return {
        pk: (person.user.get_username(), status)
        for person, mine in zip(people, won, strict=True)
        for pk, status in mine.items()
    }


def test_of_twenty_who_decide_a_hundred_requests_one_decides_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealer, "BATCH", 64)
    people = [world.operator(f"person{number}") for number in range(DECIDERS)]
    program = Actor(user=world.person("shop", "service"))
    begun, winners = time.monotonic(), set()
    for number in range(1, ROUNDS + 1):
        asked = ask(program, REQUESTS)
        won = race(people, asked, in_step=number % 2 == 1)
        ids = list(won)
        stored = {
            str(pk): (name, status)
            for pk, name, status in Decision.objects.filter(approval__in=asked).values_list(
                "approval_id", "user__username", "approval__status"
            )
        }
        assert stored == won
        told = Event.objects.filter(
            name__in=[f"approval.{status}" for status in VERDICTS.values()], object_id__in=ids
        ).values_list("object_id", "actor", "name")
        assert sorted(told) == sorted(
            (pk, f"user:{name}", f"approval.{status}") for pk, (name, status) in won.items()
        )
        winners |= {name for name, _ in won.values()}
        if number % 20 == 0:
            sys.stdout.write(
                f"{number} rounds, {time.monotonic() - begun:.0f} s, {unsealed_count()} unsealed\n"
            )
            sys.stdout.flush()
    assert len(winners) > 1, "they never met"
    until(lambda: seal_due() == 0 and unsealed_count() == 0, "all is sealed", seconds=60 + ROUNDS)
    assert verify_stored().events == Event.objects.count() == (1 + REQUESTS) * ROUNDS
    assert verify(parse_lines(written(log_lines()))).events == Event.objects.count()
    sys.stdout.write(
        f"{ROUNDS} rounds of {DECIDERS} deciders on {REQUESTS} requests in {time.monotonic() - begun:.0f} s:"
        f" {Event.objects.count()} events, {len(winners)} people decided something, the chain is whole\n"
    )
