# Every target carries its help text: `make help`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MANAGE := $(BIN)/python manage.py

# make demo PORT=9000 FLOW=path/to/flow.csv.gz SPEED=10
PORT ?= 8000
FLOW ?=
SPEED ?= 1
THROUGH ?= api
KILLS ?= 30
SECONDS ?= 60
EACH ?= 8
UPDATE ?=
ROUNDS ?= 10000
COMMANDS ?= 1000000
FOR ?= 3600
FILES ?=
RUNS ?= 10
# As many processes as there are processors, but two at least (tests/conftest.py); PROCESSES=0: one.
PROCESSES ?= auto
# A process that dies is a failure, not a reason for a new one.
SHARED_OUT = -n $(PROCESSES) --max-worker-restart=0 --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test flakes check bench audit replay crash funds fuzz properties mutations bench-slow bench-scenarios bench-aged bench-gate bench-engine screenshot lint types arch lock baseline clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install the pinned, hashed requirements
$(STAMP): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# uv itself comes out of the lock file too, so its hash is checked like all others.
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.lock > $(VENV)/uv.lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@touch $@

demo: $(STAMP) ## Start everything with a living market: PORT=8000, FLOW=recording.csv.gz SPEED=1|10|max
	@$(MANAGE) stack --port $(PORT) --demo $(if $(FLOW),--flow $(FLOW) --speed $(SPEED))

test: $(STAMP) ## Run all tests on embedded servers, with coverage (>= 85 %)
	@$(BIN)/python -m pytest $(SHARED_OUT) --cov --cov-report=term --cov-fail-under=85

flakes: $(STAMP) ## Run all tests RUNS=10 times beside two processes that only compute
	@$(BIN)/python -m tests.flakes --runs $(RUNS) $(SHARED_OUT) -q

check: lint types arch ## Everything but the tests: lint, types, layers, migrations, security, deployment
	@# No server is asked: the models are compared with the migration files.
	@LOG_LEVEL=ERROR DATABASE_URL=postgresql:///unused REDIS_URL=redis://127.0.0.1:1/0 $(MANAGE) makemigrations --check --dry-run --settings=config.settings.test
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml adminpanel config exchange matching orders risk wallets
	@# Status 3: only line numbers of known false alarms moved.
	@cp .secrets.baseline $(VENV)/secrets.baseline
	@$(BIN)/detect-secrets-hook --baseline $(VENV)/secrets.baseline $$(git ls-files ':!.secrets.baseline') || test $$? -eq 3
	@$(BIN)/python -m config.deploycheck

lint: $(STAMP) ## Format and lint (ruff)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(STAMP) ## Check types (mypy, strict)
	@$(BIN)/mypy

arch: $(STAMP) ## Check who may import whom (import-linter)
	@$(BIN)/lint-imports

bench: $(STAMP) ## Measure intake, the whole path, settlement, the feed and stops: SECONDS=60
	@$(MANAGE) bench --seconds $(SECONDS)

audit: $(STAMP) ## Check the ledger and the book of the running stack; fails on any breach
	@$(MANAGE) audit

replay: $(STAMP) ## Send a recorded market through the exchange: FLOW=recording.csv.gz SPEED=1|10|max THROUGH=api|intake
	@test -n "$(FLOW)" || { echo "make replay FLOW=path/to/flow.csv.gz SPEED=max"; exit 1; }
	@$(MANAGE) replay $(FLOW) --speed $(SPEED) --through $(THROUGH)

crash: $(STAMP) ## Kill roles and servers at random during a replay: KILLS=300 for a long run
	@KILLS=$(KILLS) $(BIN)/python -m pytest tests/crash -m crash --timeout=0 -s

funds: $(STAMP) ## Cancel and place, buy and sell with all there is, again and again: ROUNDS=10000
	@ROUNDS=$(ROUNDS) $(BIN)/python -m pytest tests/concurrency/test_settling.py --timeout=0

fuzz: $(STAMP) ## Compare the engine with the naive book and the oracle: COMMANDS=1000000, at most FOR=3600 seconds
	@$(BIN)/python -m tests.fuzz --commands $(COMMANDS) --seconds $(FOR)

properties: $(STAMP) ## Let Hypothesis search much longer than `make test` does
	@$(BIN)/python -m pytest tests/property tests/simulation --hypothesis-profile=fuzz --timeout=0

mutations: $(STAMP) ## Plant faults in a copy of the engine and show that each is caught
	@$(BIN)/python -m tests.mutations

bench-slow: $(STAMP) ## Measure what 200 slow senders cost others: SECONDS=60
	@$(MANAGE) bench --section slow --seconds $(SECONDS)

bench-scenarios: $(STAMP) ## Measure many kinds of load, too much among them, into one table: EACH=8 seconds
	@$(MANAGE) bench --section scenarios --seconds $(EACH)

bench-aged: $(STAMP) ## Measure the whole path on empty tables and on those of years: SECONDS=60
	@$(MANAGE) bench --section aged --seconds $(SECONDS)

bench-gate: $(STAMP) ## Fail where a part of the order path costs 15 % more than stored; UPDATE=1 stores
	@$(MANAGE) bench --section gate $(if $(UPDATE),--update)

bench-engine: $(STAMP) ## Measure the engine alone under eight loads: FILES="a.bin.xz b.bin.xz"
	@$(BIN)/python -m tests.lab.engine.bench $(FILES)

screenshot: $(STAMP) ## Take docs/screenshot.png of a running demo (needs chromium): PORT=8000
	@chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1440,900 \
		--virtual-time-budget=8000 --screenshot=docs/screenshot.png http://127.0.0.1:$(PORT)/

lock: $(STAMP) ## Pin all requirements anew, with hashes
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
		--all-extras pyproject.toml -o requirements.lock

baseline: $(STAMP) ## Record today's findings of detect-secrets as false alarms (look at them first)
	@git ls-files -z ':!.secrets.baseline' | xargs -0 $(BIN)/detect-secrets scan > $(VENV)/secrets.baseline
	@cp $(VENV)/secrets.baseline .secrets.baseline

clean: ## Remove caches (not .data, which holds the demo's databases)
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov .coverage*
