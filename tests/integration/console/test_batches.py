"""Batches by the API, the pages and the shell."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from agents import batches
from agents.batch_progress import advance_all
from agents.models import Batch, Run
from tests import world
from tests.integration.console.callers import Caller

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-11")]

TABLE = b"order,subject\nO-1,C-1\nO-2,C-2\n"


@pytest.fixture(autouse=True)
def teller(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent, and no worker."""
    monkeypatch.setattr(batches, "wake_batches", lambda: None)
    world.publish_agent()


def file(content: bytes = TABLE, name: str = "orders.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_a_program_starts_steers_and_reads_a_batch() -> None:
    shop = Caller("shop", "service")
    wanted = {"agent": "teller", "task": "Check {order}.", "rows": [{"order": "O-1"}, {"order": "=1"}]}
    made = shop.post("/batches", wanted, key="k1")
    assert (shop.status, made["status"], made["rows"], made["waiting"]) == (201, "running", 2, 2)
    assert shop.post("/batches", wanted, key="k1")["id"] == made["id"]
    assert [each["id"] for each in shop.get("/batches")["items"]] == [made["id"]]
    assert Caller("bank", "service").get("/batches")["items"] == []
    advance_all(now=timezone.now())
    assert shop.get(f"/batches/{made['id']}")["runs"] == {"queued": 2}
    assert shop.post(f"/batches/{made['id']}/pause")["status"] == "paused"
    shop.post(f"/batches/{made['id']}/pause")
    assert shop.status == 409
    resumed = shop.post(f"/batches/{made['id']}/resume", {"budget_usd": 12.5})
    assert (resumed["status"], resumed["budget_usd"]) == ("running", 12.5)
    assert shop.post(f"/batches/{made['id']}/cancel")["status"] == "cancelled"
    table = shop.client.get(f"/api/v1/batches/{made['id']}/results")
    assert table["Content-Type"].startswith("text/csv")
    assert "2,'=1," in table.content.decode()
    lines = (
        shop.client.get(f"/api/v1/batches/{made['id']}/results?format=jsonl").content.decode().splitlines()
    )
    assert json.loads(lines[1])["input"] == {"order": "=1"}
    reader = Caller("rita", "service", "read")
    reader.post("/batches", wanted)
    assert (reader.status, reader.body["scope"]) == (403, "run")


def test_a_program_sends_a_file_and_hears_of_bad_lines() -> None:
    shop = Caller("shop", "service")

    def send(content: bytes) -> Any:
        data = {"agent": "teller", "task": "Check {order}.", "table": file(content)}
        return shop._take(shop.client.post("/api/v1/batches/upload", data, headers={"idempotency-key": "k"}))

    send(TABLE + b"O-3\n")
    assert (shop.status, shop.body["errors"][0]["path"]) == (422, ["table", 4])
    first = send(TABLE)
    assert (shop.status, first["rows"], first["name"]) == (201, 2, "orders.csv")
    assert send(TABLE)["id"] == first["id"]
    send(TABLE + b"O-3,C-3\n")
    assert shop.body["errors"][0]["path"] == ["Idempotency-Key"]
    assert Batch.objects.count() == 1
    shop._take(shop.client.post("/api/v1/batches/upload", b"x", content_type="multipart/form-data"))
    assert shop.status == 400


def test_a_misspelt_form_field_is_refused_and_named() -> None:
    shop = Caller("shop", "service")
    form = {"agent": "teller", "task": "Check {order}.", "budget": "5", "table": file(), "tabel": file()}
    shop._take(shop.client.post("/api/v1/batches/upload", form))
    assert (shop.status, shop.body["errors"]) == (
        422,
        [
            {"path": ["budget"], "message": "unknown form field 'budget'; did you mean 'budget_usd'?"},
            {"path": ["tabel"], "message": "unknown file 'tabel'; did you mean 'table'?"},
        ],
    )
    assert not Batch.objects.exists()


def test_a_person_starts_one_by_the_form_and_follows_it(client: Client) -> None:
    client.force_login(world.person("ana", "operator"))
    form = {"agent": "teller", "input": "Check {odrer}.", "concurrency": "5", "budget_usd": "9"}
    answer = client.post("/batches/new", {**form, "table": file()})
    assert answer.status_code == 422
    assert "did you mean &#x27;order&#x27;" in answer.content.decode().split('id="input-error"')[1]
    answer = client.post("/batches/new", {**form, "input": "Check {order}.", "table": file(TABLE + b"O-3\n")})
    beside = answer.content.decode().split('id="table-error"')[1]
    assert "Line 4: 1 values for 2 columns" in beside
    assert not Batch.objects.exists()
    answer = client.post("/batches/new", {**form, "input": "Check {order}.", "table": file()})
    batch = Batch.objects.get()
    assert answer["Location"] == f"/batches/{batch.pk}"
    advance_all(now=timezone.now())
    page = client.get(f"/batches/{batch.pk}").content.decode()
    assert "Check O-2." in page
    assert f"batch:{batch.pk} run" in page
    assert "orders.csv" in client.get("/batches").content.decode()
    assert Run.objects.filter(subject={"customer_id": "C-2"}).count() == 1
    client.post(f"/batches/{batch.pk}/pause")
    client.post(f"/batches/{batch.pk}/resume", {"budget_usd": "-3"})
    batch.refresh_from_db()
    assert batch.status == "paused"
    client.post(f"/batches/{batch.pk}/resume", {"budget_usd": "20"})
    batch.refresh_from_db()
    assert (batch.status, batch.budget_usd) == ("running", Decimal(20))
    assert client.post(f"/batches/{batch.pk}/burn").status_code == 404
    table = client.get(f"/batches/{batch.pk}/results?format=csv")
    assert "attachment" in table["Content-Disposition"]
    assert "O-2,C-2," in table.content.decode()


def test_an_analyst_looks_and_does_not_steer(client: Client) -> None:
    client.force_login(world.person("ines", "analyst"))
    assert client.get("/batches/new").status_code == 403
    assert "Start a batch" not in client.get("/batches").content.decode()


def test_a_shell_starts_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(TABLE)
    call_command("runs", "batch", "teller", str(path), "--task", "Check {order}.", "--budget", "3")
    assert str(Batch.objects.get().pk) in capsys.readouterr().out
    path.write_bytes(TABLE + b"O-3\n")
    with pytest.raises(CommandError, match="line 4: 1 values for 2 columns"):
        call_command("runs", "batch", "teller", str(path))
    with pytest.raises(CommandError, match="can't be read"):
        call_command("runs", "batch", "teller", str(tmp_path / "none.csv"))
