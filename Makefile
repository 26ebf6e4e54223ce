# Thin on purpose: the work is in scripts/ and deploy/. `make` alone prints the targets.

PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
# Half of what unit tests take is waiting: three share two cores well. With ARGS one process does, for --pdb and -s.
BESIDE_EACH_OTHER := -n 3 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help up down status logs query pin install test test-alerts test-e2e test-chaos test-compose check rules dashboards docs bench
.PHONY: demo demo-break demo-story demo-down demo-recording

help: ## print this
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r target words; do \
		printf '  make %-14s %s\n' "$$target" "$$words"; done

export Q NATIVE DOCKER PARTS PART FOLLOW WIPE HOW SERVER DEMO_PORT

up: ## start everything, or apply what changed: in containers if Docker is there, else (and with NATIVE=1) without
	@scripts/stack.sh up

down: ## stop everything; data is kept, unless WIPE=1
	@scripts/stack.sh down

status: ## state and address of each part
	@scripts/stack.sh status

logs: ## the last log lines; PART=exporter for one part, FOLLOW=1 for what comes
	@scripts/stack.sh logs

query: ## ask Prometheus, which wants a password: Q='up == 0'
	@scripts/stack.sh query

pin: ## write the digest of each container image beside its tag; needs Docker and the images' registries
	@python3 -m deploy.compose pin

demo: ## three simulated servers and everything that watches and heals them; DEMO_PORT=19800; DOCKER=1: in a container
	@scripts/demo.sh up

demo-break: ## break a server and follow what happens; HOW=hang, SERVER=1; without HOW the list
	@scripts/demo.sh break "$$HOW" --server "$${SERVER:-1}"

demo-story: ## five failures in a row, with a table at the end
	@scripts/demo.sh story

demo-down: ## stop the demo
	@scripts/demo.sh down

demo-recording: ## write docs/demo.svg from a real hang; needs a running demo
	@scripts/demo.sh record

install: ## make .venv and install what is missing; quick when nothing is
	@scripts/install.sh

test: install ## unit and contract tests; ARGS="-k word" goes to pytest
	@$(PYTEST) $(or $(ARGS),$(BESIDE_EACH_OTHER))

ifdef LIVE
test-alerts:
	@scripts/stack.sh test-message
else
test-alerts: install ## alert rules, and real Prometheus and Alertmanager; LIVE=1: a test message to your own channels
	@$(PYTEST) -m alerts $(or $(ARGS),$(BESIDE_EACH_OTHER))
endif

test-e2e: install ## the whole loop on a real vLLM
	@$(PYTEST) -m e2e $(ARGS)

test-chaos: install ## what takes too long to be run each time: attacks, and a real vLLM in every state it can be in
	@$(PYTEST) -m chaos $(ARGS)

test-compose: install ## the containers, on a real Docker: healed through the proxy, nothing lost in restarts
	@$(PYTEST) -m compose $(ARGS)

check: install ## linters, types, layers, generated files, rules
	@scripts/check.sh

rules: install ## write the rules of prometheus/thresholds.yml, prometheus/slo.yml and prometheus/guardrails.d/
	@$(PYTHON) -m prometheus.thresholds
	@$(PYTHON) -m prometheus.slo
	@$(PYTHON) -m prometheus.guardrails

dashboards: install ## write grafana/dashboards/*.json from grafana/boards/*.py; OUT=directory or CONFIGMAP=file: there instead
	@$(PYTHON) -m grafana write $(if $(OUT),--out "$(OUT)") $(if $(CONFIGMAP),--configmap "$(CONFIGMAP)")

docs: install ## write the generated pages of docs/
	@scripts/docs.sh

bench: install ## measure, and write docs/benchmarks.md; ARGS=loop for one
	@scripts/bench.sh $(ARGS)
