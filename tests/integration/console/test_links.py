"""One-time sign-in links, by the pages that use them."""

from datetime import timedelta
from io import StringIO
from threading import Barrier, Thread
from urllib.parse import unquote

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from console.people import links
from console.people.examples import make_example_people
from console.people.links import make_link, use_link

pytestmark = [pytest.mark.req("OPS-3"), pytest.mark.django_db]


def token_of(link: str) -> str:
    return unquote(link.removeprefix("/sign-in/"))


@pytest.fixture
def ana() -> User:
    return make_example_people()[0]


def test_a_link_signs_in_once(ana: User) -> None:
    link = make_link(ana)
    first, second = Client(), Client()
    assert first.get(link).headers["Location"] == "/"
    assert first.session["_auth_user_id"] == str(ana.pk)
    assert second.get(link).headers["Location"].startswith("/sign-in?")
    assert "_auth_user_id" not in second.session


def test_a_link_ends_after_an_hour(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    link = make_link(ana)
    monkeypatch.setattr(links, "VALID_FOR", timedelta(seconds=-1))
    assert use_link(token=token_of(link)) is None


def test_a_link_ends_with_another_sign_in(ana: User) -> None:
    link = make_link(ana)
    User.objects.filter(pk=ana.pk).update(last_login=timezone.now())
    assert use_link(token=token_of(link)) is None


@pytest.mark.parametrize("change", [lambda token: token + "x", lambda token: "", lambda token: token[1:]])
def test_a_changed_link_is_none(ana: User, change: object) -> None:
    assert callable(change)
    assert use_link(token=change(token_of(make_link(ana)))) is None


def test_somebody_who_was_switched_off_stays_out(ana: User) -> None:
    link = make_link(ana)
    User.objects.filter(pk=ana.pk).update(is_active=False)
    assert use_link(token=token_of(link)) is None


@pytest.mark.django_db(transaction=True)
def test_of_many_who_use_a_link_at_once_one_gets_in(ana: User, django_db_blocker: DjangoDbBlocker) -> None:
    token, barrier, users = token_of(make_link(ana)), Barrier(8), []

    def use() -> None:
        barrier.wait()
        users.append(use_link(token=token))
        connection.close()

    threads = [Thread(target=use) for _ in range(8)]
    with django_db_blocker.unblock():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(user is not None for user in users) == [False] * 7 + [True]


def test_example_people_keep_what_was_changed(ana: User) -> None:
    ana.groups.clear()
    User.objects.filter(pk=ana.pk).update(first_name="Anna")
    again = make_example_people()[0]
    assert (again.pk, again.first_name, again.groups.count()) == (ana.pk, "Anna", 0)
    assert not again.has_usable_password()


def test_the_command_prints_a_link_alone(ana: User) -> None:
    out = StringIO()
    call_command("sign_in_link", "ana", stdout=out)
    base, token = out.getvalue().strip().split("/sign-in/")
    assert base == "http://127.0.0.1:8000"
    assert Client().get(f"/sign-in/{token}").headers["Location"] == "/"


def test_the_command_names_who_there_is(ana: User) -> None:
    with pytest.raises(CommandError, match=r"no active user 'zoe': choose one of .*ana"):
        call_command("sign_in_link", "zoe")
