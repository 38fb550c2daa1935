# Thin on purpose: one line a target, the work is in scripts/.
.PHONY: help run test bench lint fmt build clean
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile
run: ## Build what is missing, then start hub and agent on this machine
	@scripts/run.sh
test: ## Run every test
	@scripts/test.sh
bench: ## Measure, and write docs/benchmarks.md
	@scripts/bench.sh
lint: ## Formatting, clippy, licences and dependencies
	@scripts/lint.sh
fmt: ## Format the code
	@cargo fmt --all && cd plugins && cargo fmt --all
build: ## Build hub, agent, plugins and UI
	@scripts/build.sh
clean: ## Remove what was built (the data folder of `make run` stays)
	@cargo clean && rm -rf plugins/target plugins/dist hub/dashboard/ui/dist
