"""`python -m tests.bench`: what `make bench` runs."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

CELLS = (
    "r5a-1",
    "r5a-50",
    "r5a-200",
    "r5a-1000",
    "r5l-200",
    "decision",
    "conversations",
    "gateway",
    "inbox",
    "recovery",
    "crash",
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the cells that were asked for; 1 where something did not hold that must."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", metavar="CELL[,CELL]", help=f"some of {', '.join(CELLS)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the document goes [standard output]")
    parser.add_argument(
        "--langgraph",
        metavar="PYTHON",
        help="an interpreter with langgraph, langgraph-checkpoint-postgres and psycopg[binary,pool]",
    )
    parser.add_argument("--threads", type=int, default=0, help="of each worker [as many as are needed]")
    parser.add_argument("--trials", type=int, default=10, help="of the cell crash [10]")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills [1]")
    parser.add_argument("--no-raw", action="store_true", help="leave the hand-written loop out")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(CELLS)
    if unknown := set(chosen) - set(CELLS):
        parser.error(f"no such cell: {', '.join(sorted(unknown))}; there are {', '.join(CELLS)}")
    options.cells = [cell for cell in CELLS if cell in chosen]
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    home = Path(tempfile.mkdtemp(prefix="gatehouse-bench-"))
    try:
        _set_environment(home)
        # Settings are read at import, from the environment that was just made.
        import django

        django.setup()
        from tests.bench.report import as_text
        from tests.bench.session import run

        document = run(home, options)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    finally:
        shutil.rmtree(home, ignore_errors=True)
    text = json.dumps(document, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
        sys.stdout.write(as_text(document))
    else:
        sys.stderr.write(as_text(document))
        sys.stdout.write(text + "\n")
    return 1 if document["violations"] else 0


def _set_environment(home: Path) -> None:
    """The product's settings as `up` has them, on a home of the bench's own."""
    ours = ("GATEHOUSE_", "ANTHROPIC_", "OPENAI_", "OTEL_", "CELERY_", "DATABASE_", "VALKEY_")
    for name in list(os.environ):
        if name.startswith(ours) or name in {"BASE_URL", "ALLOWED_HOSTS", "DEBUG", "SECRET_KEY"}:
            del os.environ[name]
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
    os.environ["GATEHOUSE_HOME"] = str(home)
    os.environ["GATEHOUSE_BENCH_LEDGER"] = str(home / "ledger")


def _interrupt(number: int, frame: FrameType | None) -> None:
    for other in SIGNALS:  # what was started must be ended in peace
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
