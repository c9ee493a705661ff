# Everything that people run, with plain Python 3.11 or newer and nothing else at hand.
.PHONY: up test bench check requirements lock browser
.SILENT:

HOST ?= 127.0.0.1
PORT ?= 8000
PYTHON ?= python3

up: .venv/installed
	GATEHOUSE_STOP_WITH_PARENT=1 exec .venv/bin/python manage.py up --host $(HOST) --port $(PORT)

test: .venv/installed-dev browser
	exec .venv/bin/python -m pytest $(ARGS)

bench: .venv/installed-dev
	exec .venv/bin/python -m tests.bench $(ARGS)

check: .venv/installed-dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/python -m mypy
	.venv/bin/lint-imports
	.venv/bin/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	.venv/bin/djlint templates --lint --quiet

requirements: .venv/installed-dev
	.venv/bin/python manage.py requirements

# Writes constraints.txt anew, with the newest versions that pyproject.toml allows.
lock: .venv/installed-dev
	.venv/bin/python -m pip install --quiet uv
	.venv/bin/uv pip compile --upgrade --python-version 3.11 --extra dev --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file constraints.txt pyproject.toml

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Gatehouse needs Python 3.11 or newer, and $(PYTHON) is %d.%d: install it, or name another with make PYTHON=python3.12." % sys.version_info[:2])'
	echo "making the environment .venv"
	$(PYTHON) -m venv .venv || { rm -rf .venv; echo "The environment could not be made: install venv for $(PYTHON) (Debian: apt-get install python3-venv)." >&2; exit 1; }

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	echo "installing what Gatehouse needs"
	.venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt
	echo "installing what Gatehouse and its tests need"
	.venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch .venv/installed $@

browser: .venv/installed-dev
	.ci/browser
