"""Suites in the database: from a file, the same again without a change."""

from collections.abc import Sequence
from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from agents.evals.config import SuiteConfig
from agents.evals.files import read_file
from agents.exceptions import BadConfig
from agents.models import Agent, Case, Suite
from agents.nearest import hint
from agents.rulebook import granted
from agents.runtime.lineage import STARTERS
from approvals.digest import digest_of
from traces.recorder import record


@transaction.atomic
def apply_files(paths: Sequence[str | Path], *, actor: User | None) -> list[tuple[Suite, bool]]:
    """Keep the suites of several files, or none where one is bad. Raises BadConfig, with every bad file in its message.

    Returns each suite and whether it changed.
    """
    kept, wrong, seen = [], [], dict[str, str | Path]()
    for path in paths:
        try:
            name, config = read_file(path)
            if name in seen:
                raise BadConfig(f"{path}: {seen[name]} is the suite {name!r} already.")
            seen[name] = path
            kept.append(_keep(name, config, actor=actor, source=str(path)))
        except BadConfig as error:
            wrong.append(str(error))
    if wrong:
        raise BadConfig("\n".join(wrong))
    return kept


def _keep(name: str, config: SuiteConfig, *, actor: User | None, source: str) -> tuple[Suite, bool]:
    try:
        agent = _agent_of(config)
    except BadConfig as error:
        raise BadConfig("\n".join(f"{source}: {told}" for told in str(error).split("\n"))) from error
    cases = [case.model_dump(mode="json", exclude_defaults=True) for case in config.cases]
    digest = digest_of({"agent": agent.name, "cases": cases})
    suite = Suite.objects.select_for_update(of=("self",)).filter(name=name).first()
    if suite is not None and suite.digest == digest:
        return suite, False
    if suite is None:
        suite = Suite(name=name, created_at=timezone.now())
    suite.agent, suite.digest = agent, digest
    suite.save()
    suite.cases.all().delete()
    Case.objects.bulk_create(
        Case(suite=suite, place=place, name=case["case"], config=case) for place, case in enumerate(cases)
    )
    record(
        "suite.applied",
        actor=f"user:{actor.get_username()}" if actor else "system",
        object_id=name,
        data={"agent": agent.name, "cases": len(cases), "digest": digest},
    )
    return suite, True


def _agent_of(config: SuiteConfig) -> Agent:
    """The agent, which has every tool that is named: a misspelt one in `no_calls` would never fail."""
    agents = Agent.objects.exclude(live_version=None)
    agent = agents.select_related("live_version").filter(name=config.agent).first()
    if agent is None or agent.live_version is None:
        known = agents.values_list("name", flat=True)
        raise BadConfig(f"agent: there is no agent {config.agent!r}; {hint(config.agent, known)}")
    parsed = agent.live_version.parsed
    if parsed.pattern in (*STARTERS, "gateway"):
        raise BadConfig(f"agent: {agent.name} is a {parsed.pattern}, of which no run can be rehearsed.")
    tools = granted(parsed)
    wrong = []
    for case in config.cases:
        expect = case.expect
        named = [*case.answers, *(call.tool for call in expect.calls), *expect.no_calls, *(expect.asks or ())]
        wrong += [
            f"{case.case}: {agent.name} has no tool {tool!r}; {hint(tool, tools)}"
            for tool in dict.fromkeys(named)
            if tool not in tools
        ]
    if wrong:
        raise BadConfig("\n".join(wrong))
    return agent
