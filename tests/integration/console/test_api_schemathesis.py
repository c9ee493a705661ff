"""The API against its own document: whatever is sent, what comes back is documented, well formed, and no 500."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import schemathesis
from django.utils import timezone

from agents.batches import create_batch
from agents.evals.keeping import apply_files
from agents.models import Memory
from agents.tables import table_of
from approvals.access import Actor
from approvals.models import Delivery
from approvals.programs import ask_for_program
from console import environment
from console.people.tokens import make_token
from console.services.preflight import free_port
from tests import world
from tests.waiting import until
from traces.models import Breaker

TRIES = 3

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-10", "OPS-4")]

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
OPTIONS = (
    *(
        "--checks",
        "all",
        "--max-examples",
        "8",
        "--generation-deterministic",
        "--no-shrink",
        "--workers",
        "2",
    ),
    *("--continue-on-failure", "--no-color", "--request-timeout", "20"),
)
REVOKE = "revoke_my_token"  # which ends whatever comes after it, and so comes last

# A long poll of a minute is as good as a short one. What fits a schema may still mean nothing, and is refused with
# 422: a cursor that no list gave out, an agent or an address that isn't there, a key that stands for something else.
CONFIG = """
[parameters]
"query.wait" = 0.1

[[operations]]
include-operation-id-regex = "^(list_|start_run|start_batch|run_suite|guide_run|steer_plan|replay_run|fork_run|request_approval|decide|halt|publish_agent)"
checks.positive_data_acceptance.expected-statuses = ["2xx", "403", "404", "409", "422"]
"""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A web server of its own process, on the database of the tests."""
    port = free_port()
    env = {**os.environ, "GATEHOUSE_API_RATE": "1000000", "DJANGO_SETTINGS_MODULE": "console.settings"}
    command = [sys.executable, "-m", "uvicorn", "console.asgi:application", "--port", str(port)]
    with (tmp_path / "web.log").open("wb") as log:
        web = subprocess.Popen(command, env=env, cwd=environment.ROOT, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(f"{address}/healthz"), "the web server answers")
        yield address
    finally:
        web.terminate()
        web.wait(20)


@pytest.fixture
def token(tmp_path: Path) -> str:
    """Of an admin who may all, in a house where there is one of everything."""
    ada, now = world.person("ada", "admin"), timezone.now()
    version = world.publish_agent()
    world.start()
    shop = Actor(world.person("shop", "service"), via="token", role="service")
    approval = ask_for_program(
        actor=shop, tool="refund", arguments={"amount": 4}, effect="irreversible", expires_in=600, now=now
    )
    create_batch(agent="teller", table=table_of([{"input": "Look."}]), actor=Actor(ada))
    suite = tmp_path / "golden.yaml"
    suite.write_text(
        "{suite: golden, agent: teller, cases: [{case: a, input: Pay., expect: {no_calls: [pay]}}]}"
    )
    apply_files([suite], actor=None)
    Delivery.objects.create(approval=approval, event="approval.edited", created_at=now, next_at=now)
    Memory.objects.create(
        agent=version.agent, subject_digest="0" * 64, kind="semantic", text="Pays late.", created_at=now
    )
    Breaker.objects.create(
        name="cost", reason="Dear.", figure=9, limit=1, tripped_at=now - timedelta(hours=1)
    )
    return make_token(user=ada, role="admin", scopes=["decide"], now=now)


@pytest.mark.timeout(900)
def test_the_api_does_what_its_document_says(url: str, token: str, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [SCHEMATHESIS, "run", f"{url}/api/v1/openapi.json", *OPTIONS, "--exclude-operation-id", REVOKE]
    command += ["--header", f"Authorization: Bearer {token}"]
    for _ in range(TRIES):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        if "SystemError" not in done.stdout + done.stderr:
            break  # else the checker itself broke down, which says nothing of the API
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
    for status in (204, 401):
        case = schema.find_operation_by_id(REVOKE).Case()
        assert case.call_and_validate(headers={"Authorization": f"Bearer {token}"}).status_code == status


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
