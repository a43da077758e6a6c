# What a developer types. `.ci/run` calls the same targets.

# The crates with a feature `aws`: the adapters by the AWS SDK, and the Lambda binaries. Compiling them takes minutes.
AWS = --package ingest-fn --package consumer-fn --features ingest-fn/aws-test,consumer-fn/aws-test

.PHONY: help run test test-aws lint lint-aws accept

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## the whole pipeline on this machine
	cargo run --release --locked

test: ## every test that needs no AWS SDK: units, properties, the pipeline through real processes
	cargo test --workspace --locked

test-aws: ## the AWS adapters, by request capture
	cargo test $(AWS) --locked

lint: ## format, clippy, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --locked --quiet

lint-aws: ## clippy for the AWS adapters
	cargo clippy $(AWS) --all-targets --locked -- --deny warnings

accept: ## minutes of load against the clock, with a transcript
	cargo build --release --locked --package tidegate
	cargo run --release --locked --package tests --bin accept
