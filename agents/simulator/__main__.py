"""`python -m agents.simulator --port P [--host H] [--scripts FILE...]`."""

import argparse
import sys
from pathlib import Path

from agents.simulator.scripts import ScriptError, example_files, load_scripts
from agents.simulator.server import serve


def main() -> None:
    """Serve until told to stop; exit status 1 and one line where that can't be."""
    parser = argparse.ArgumentParser(
        prog="python -m agents.simulator",
        description="Stands in for Anthropic and OpenAI by playing scripts.",
    )
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one and prints it")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--scripts", nargs="+", type=Path, metavar="FILE", help="instead of those of the examples"
    )
    options = parser.parse_args()
    try:
        serve(load_scripts(options.scripts or example_files()), host=options.host, port=options.port)
    except ScriptError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"The simulator can't listen on {options.host}:{options.port}: {error.strerror}.")


if __name__ == "__main__":
    main()
