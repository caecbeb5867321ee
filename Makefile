# Thin on purpose: the work is in scripts/.

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-night similarity lint conformance matrix mutate docs psql install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a shop's contacts and purchases, who may be written to, and why
	@scripts/demo

test: ## everything that is checked; ends with `N passed, N failed`
	@scripts/test

bench: ## the cost of a decision against a boolean column and hand-written SQL
	@scripts/bench

bench-night: ## what a night costs on 5 million contacts, beside SQL, DuckDB, scipy and implicit
	@scripts/bench-night $(ARGS)

similarity: ## how good similar categories are on real purchases
	@scripts/similarity

lint: ## formatting, clippy, dependencies, shell scripts
	@scripts/lint

conformance: ## scenarios of a folder: DIR=../shared/scenarios [COUNTRY=GB,FR]
	@scripts/conformance "$(DIR)" "$(COUNTRY)"

matrix: ## what typical contacts are answered, tests/matrix, from the packs
	@scripts/matrix

mutate: ## flips every condition of every pack: would a scenario or the matrix notice?
	@scripts/mutate

docs: ## the law in words, docs/law, from the packs
	@scripts/docs

psql: ## psql in a throw-away cluster with the extension and the demo's data
	@scripts/psql

install: ## build in release and install into the PostgreSQL of [PG_CONFIG=…], default 15
	@PG_CONFIG="$(PG_CONFIG)" scripts/install

clean: ## remove what was built
	@scripts/clean
