"""Published versions, which never change: each is read once by a process."""

from functools import lru_cache

from agents.models import AgentVersion


@lru_cache(maxsize=500)
def version_of(version_id: int) -> AgentVersion:
    """The version with its agent; shared by all threads, so nobody changes it."""
    return AgentVersion.objects.select_related("agent", "published_by").get(pk=version_id)
