"""The bench itself: two of its cells, small, as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from console.environment import ROOT


@pytest.mark.req("RUN-1")
@pytest.mark.timeout(240)
def test_the_bench_measures_real_workers_beside_the_bound(tmp_path: Path) -> None:
    document = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--only", "r5a-50,decision"]
    bench = subprocess.run(
        [*command, "--json", document], cwd=ROOT, capture_output=True, text=True, timeout=230, check=False
    )
    assert bench.returncode == 0, bench.stderr[-3000:]
    found = json.loads(document.read_text())
    assert found["settings"]["synchronous_commit"] == "on"
    engine, bound = found["engine"]["r5a-50"], found["contenders"]["hand-written loop"]["r5a-50"]
    for row in (engine, bound):
        assert row["runs"] == row["active_ms"]["n"] == row["decision_to_execution_ms"]["n"] == 5
        assert row["cpu_ms_per_run"]["workers"] > 0
        assert row["wal_kb_per_run"] > 1
    assert bound["write_transactions_per_run"] == 12  # a commit a step, and nothing else
    assert engine["write_transactions_per_run"] > 5
    [target] = [target for target in found["targets"] if target["name"].endswith("one at a time")]
    assert target["met"] is (target["value"] <= 15)
    assert f"{target['value']:g} ms (at most 15)" in bench.stdout
