"""Who sits at the open pages, read anew for many of them at once.

Each page's socket asks before it passes a message on, and a message reaches all of them in the same moment: what they ask
then is answered by three statements for all, instead of three for each, one after the other.
"""

import asyncio
from collections.abc import Collection
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from approvals.access import people_with_roles

GATHER_SECONDS = 0.005  # how long a question waits for others


async def user_of(session_key: str | None) -> User | None:
    """Who is signed in with that session now, with roles; None where nobody is."""
    loop = asyncio.get_running_loop()
    doorkeeper = _doorkeepers.setdefault(loop, _Doorkeeper())
    return await doorkeeper.ask(session_key) if session_key else None


class _Doorkeeper:
    """Gathers the questions of one event loop."""

    def __init__(self) -> None:
        self._asked: dict[str, asyncio.Future[User | None]] = {}
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, session_key: str) -> User | None:
        loop = asyncio.get_running_loop()
        answer = self._asked.setdefault(session_key, loop.create_future())
        if self._answering is None or self._answering.done():
            self._answering = loop.create_task(self._answer())
        return await asyncio.shield(answer)  # others may wait for the same

    async def _answer(self) -> None:
        while self._asked:
            await asyncio.sleep(GATHER_SECONDS)
            asked, self._asked = self._asked, {}  # who asks from here on is told what is true later
            try:
                users = await database_sync_to_async(_users_of)(asked)
            except Exception as error:
                for answer in asked.values():
                    answer.set_exception(error)
            else:
                for key, answer in asked.items():
                    answer.set_result(users.get(key))


_doorkeepers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Doorkeeper] = WeakKeyDictionary()


def _users_of(session_keys: Collection[str]) -> dict[str, User]:
    """The people who are signed in, by session."""
    rows = Session.objects.filter(session_key__in=session_keys, expire_date__gt=timezone.now())
    sessions = {row.session_key: SessionStore().decode(row.session_data) for row in rows}
    people = people_with_roles({data[SESSION_KEY] for data in sessions.values() if SESSION_KEY in data})
    found = {}
    for key, data in sessions.items():
        user = people.get(str(data.get(SESSION_KEY)))
        if user is not None and _is_of(user, str(data.get(HASH_SESSION_KEY, ""))):
            found[key] = user
    return found


def _is_of(user: User, session_hash: str) -> bool:
    """Whether the session was begun with the password that the user has."""
    hashes = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(session_hash, each) for each in hashes)
