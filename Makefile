# What a developer types. `.ci/run` calls the same targets.

# The crates that use the AWS SDK: the functions with their feature `aws`, the crate `aws`, and the commands that need it.
# Compiling them takes minutes.
AWS = --package shared --package ingest-fn --package consumer-fn --package dispatch-fn --package aws --package tidegate \
	--features shared/aws-test,ingest-fn/aws-test,consumer-fn/aws-test,dispatch-fn/aws-test,tidegate/aws
# All others, and these without the SDK.
WITHOUT_AWS = --workspace --exclude aws

# An emulator of AWS, cargo-lambda and AWS's Python SDK, in the versions that tests/e2e/requirements.txt pins.
TARGET = $(or $(CARGO_TARGET_DIR),target)
TOOLS = $(CURDIR)/target/tools
# schemathesis, in the version that tests/openapi/requirements.txt pins.
OPENAPI = $(CURDIR)/target/openapi
# Chromium's driver and axe, which tests/page/package-lock.json pins.
PAGE = $(CURDIR)/target/page
# The clients that tests/clients/requirements.txt and package-lock.json pin.
CLIENTS = $(CURDIR)/target/clients
# An emulator of Kinesis alone, which reshards.
KINESIS_LOCAL = $(TOOLS)/kinesis-local

# What the deployment's tests and tools are.
CDK_MODULES = cdk/node_modules/.package-lock.json
CDK_VENV = cdk/.venv/.installed

.PHONY: help run contract test test-rust test-openapi test-clients test-page page first-minutes test-aws test-emulator test-cdk e2e cargo-lambda functions lint lint-aws lint-cdk accept accepted bench bench-local bench-start soak peers instructions chaos neighbour scale simulate model fuzz amplification samples releases

help: ## what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## the whole pipeline on this machine
	cargo run --release --locked

test: test-rust test-cdk ## every test that needs no AWS SDK; `make test-rust` alone needs nothing but Rust

test-rust: ## units, properties, the model, the pipeline through real processes
	cargo test $(WITHOUT_AWS) --locked

test-openapi: $(OPENAPI)/installed ## the HTTP API against its own OpenAPI document, and every example of README and docs/http-api.md; needs Python, curl, openssl, sqlite3
	cargo build --locked --package tidegate
	python3 tests/openapi/examples.py --tidegate $(TARGET)/debug/tidegate README.md docs/http-api.md
	python3 tests/openapi/run.py --tidegate $(TARGET)/debug/tidegate --schemathesis $(OPENAPI)/bin/schemathesis \
		$(if $(SEED),--seed $(SEED))

test-clients: $(CLIENTS)/installed ## clients that people use, each against a local run, and every example of docs/senders.md; needs Python, Node with npm, curl, openssl, Chromium
	cargo build --locked --package tidegate
	PYTHONPATH=tests/openapi $(CLIENTS)/bin/python tests/clients/run.py --tidegate $(TARGET)/debug/tidegate --modules $(CLIENTS)
	$(CLIENTS)/bin/python tests/openapi/examples.py --tidegate $(TARGET)/debug/tidegate --modules $(CLIENTS) docs/senders.md

test-page: $(PAGE)/installed ## the page of the local run in a browser: by keyboard, in both colour schemes, at two widths, with axe; needs Node with npm, Chromium
	cargo build --locked --package tidegate
	node tests/page/run.mjs --tidegate $(TARGET)/debug/tidegate --modules $(PAGE) --grafana docs/grafana.json $(OPTIONS)

page: ## docs/grafana.json and the screenshots of docs/page, after ten minutes of traffic, for a quiet machine
	$(MAKE) test-page OPTIONS='--renew --screenshots docs/page'

first-minutes: $(PAGE)/installed ## what a newcomer sees, with its times: clone, `cargo run --release`, the first 202, the page; writes docs/first-minutes.md, for a quiet machine; needs git, Node with npm, Chromium
	node tests/page/first_minutes.mjs --repository . --modules $(PAGE) --transcript docs/first-minutes.md $(OPTIONS)

test-aws: ## the AWS adapters, by request capture, and what `doctor` and `mapping` read
	cargo test $(AWS) --locked

test-emulator: $(TOOLS)/installed $(KINESIS_LOCAL)/installed ## the AWS adapters, against emulators, one of them through a proxy that makes faults; needs Python and Node with npm
	MINISTACK=$(TOOLS)/bin/ministack KINESIS_LOCAL=$(KINESIS_LOCAL)/node_modules/kinesis-local \
		cargo test --package tests --features aws --test aws --locked

e2e: functions $(CDK_MODULES) ## the stack deployed to an emulator of AWS, driven, changed, looked at, destroyed; then each recipe, accepted
	cargo build --locked --package tidegate --features aws
	$(TOOLS)/bin/python tests/e2e/run.py --functions $(TARGET)/functions --tidegate $(TARGET)/debug/tidegate \
		$(if $(TRANSCRIPTS),--transcripts $(TRANSCRIPTS))

cargo-lambda: functions ## every fixture through `cargo lambda invoke`
	PATH="$(TOOLS)/bin:$$PATH" $(TOOLS)/bin/python tests/e2e/cargo_lambda.py --functions $(TARGET)/functions

functions: $(TOOLS)/installed ## the Lambda binaries, as they are deployed
	PATH="$(TOOLS)/bin:$$PATH" cargo lambda build --locked --profile lambda \
		--lambda-dir $(TARGET)/functions --package ingest-fn --package consumer-fn --package dispatch-fn \
		--features ingest-fn/aws,consumer-fn/aws,dispatch-fn/aws \
		--bin ingest-fn --bin spill-drain --bin consumer-fn --bin dispatch-fn

$(TOOLS)/installed: tests/e2e/requirements.txt
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(OPENAPI)/installed: tests/openapi/requirements.txt
	python3 -m venv $(OPENAPI)
	$(OPENAPI)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(CLIENTS)/installed: tests/clients/requirements.txt tests/clients/package.json tests/clients/package-lock.json
	python3 -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	cp tests/clients/package.json tests/clients/package-lock.json $(CLIENTS)
	cd $(CLIENTS) && npm ci --no-audit --no-fund
	touch $@

$(PAGE)/installed: tests/page/package.json tests/page/package-lock.json
	mkdir -p $(PAGE)
	cp $^ $(PAGE)
	cd $(PAGE) && npm ci --no-audit --no-fund
	touch $@

$(KINESIS_LOCAL)/installed: tests/aws/kinesis-local/package.json tests/aws/kinesis-local/package-lock.json
	mkdir -p $(KINESIS_LOCAL)
	cp $^ $(KINESIS_LOCAL)
	cd $(KINESIS_LOCAL) && npm ci --no-audit --no-fund
	touch $@

lint: ## format, clippy, documentation
	cargo fmt --all --check
	cargo clippy $(WITHOUT_AWS) --all-targets --features fuzz/targets --locked -- --deny warnings
	RUSTDOCFLAGS='--deny warnings --allow rustdoc::private_intra_doc_links' cargo doc $(WITHOUT_AWS) --lib --no-deps --document-private-items --locked --quiet

lint-aws: ## clippy for the AWS adapters and all that is built on them
	cargo clippy $(AWS) --package tests --features tests/aws --all-targets --locked -- --deny warnings

# The newest commit before the formats last got something new. It has the schema of the local database that is used now.
BEFORE = dd13c57861a1103867209b14f5d1a3b46c2b8337
releases: ## the release before and this one take turns on one stream; writes tests/fixtures/release
	rm -rf $(TARGET)/before/tree && mkdir -p $(TARGET)/before/tree
	git archive $(BEFORE) | tar -x -C $(TARGET)/before/tree
	cd $(TARGET)/before/tree && CARGO_TARGET_DIR=$(abspath $(TARGET))/before/target \
		cargo build --locked --package tests --bin tidegate-with-faults
	TIDEGATE_BEFORE=$(abspath $(TARGET))/before/target/debug/tidegate-with-faults \
		cargo test --locked --package tests --test pipeline -- --ignored releases

chaos: ## 1,000 random crash runs against the client's own log, minutes
	cargo build --locked --package tests --bins
	$(TARGET)/debug/chaos

SEEDS = 100000
simulate: ## the whole pipeline in virtual time, by seeds: `make simulate SEEDS=100000 FROM=1`, one run by `SEED=7`, less damage by `WITHOUT=time,disk`
	cargo run --release --locked --package tests --bin simulate -- $(if $(SEED),1 $(SEED),$(SEEDS) $(or $(FROM),1)) $(if $(WITHOUT),--without $(WITHOUT))

scale: $(CDK_MODULES) ## from 1 shard to 1,000 in virtual time: how fresh stored events are, what they take and cost; writes docs/performance.md; needs Node
	cargo build --release --locked --package tests --bin scale
	$(TARGET)/release/scale >$(TARGET)/scale.ndjson
	cd cdk && npx tsx scripts/scale.ts <$(abspath $(TARGET))/scale.ndjson

neighbour: ## a good tenant beside one bad client, 3 minutes
	cargo build --release --locked --package tests --bin neighbour --package tidegate
	$(TARGET)/release/neighbour

model: ## the commit protocol, explored further down than the tests do, minutes
	cargo test --release --locked --package consumer-fn model -- --include-ignored --nocapture

amplification: ## search for inputs that make us store more than the bounds of docs/limits.md, and measure memory and work, minutes
	TIDEGATE_FUZZ_STEPS=400 TIDEGATE_FUZZ_STARTS=10 TIDEGATE_FUZZ_BYTES=65536 \
		cargo test --locked --package fuzz --test amplification -- --nocapture
	cargo test --locked --package fuzz --test memory -- --include-ignored --nocapture --test-threads 1

# libFuzzer, by flags that a stable toolchain has: coverage of edges and of what is compared. Any input that breaks a
# property of the crate `fuzz` ends the run, and is saved in FUZZ/found. SECONDS is for each target.
SECONDS = 60
TARGETS = record aggregate http otlp configuration
FUZZ = $(TARGET)/fuzz
SANCOV = -sanitizer-coverage
FUZZ_FLAGS = -Cpasses=sancov-module -Cllvm-args=$(SANCOV)-level=4 -Cllvm-args=$(SANCOV)-inline-8bit-counters \
	-Cllvm-args=$(SANCOV)-pc-table -Cllvm-args=$(SANCOV)-trace-compares -Cdebug-assertions -Coverflow-checks

fuzz: ## search by coverage for inputs that break a property: `make fuzz SECONDS=600 TARGETS=http`; needs a C++ compiler
	cargo run --locked --package fuzz --bin fuzz-seeds -- $(FUZZ)
	HOST=$$(rustc -vV | sed -n 's/^host: //p') && \
	RUSTFLAGS='$(FUZZ_FLAGS)' cargo build --release --locked --package fuzz --features libfuzzer \
		$(TARGETS:%=--bin %) --target $$HOST --target-dir $(FUZZ)/build && \
	for target in $(TARGETS); do \
		mkdir -p $(FUZZ)/corpus/$$target $(FUZZ)/found && \
		$(FUZZ)/build/$$HOST/release/$$target -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
			-dict=$(FUZZ)/$$target.dictionary -artifact_prefix=$(FUZZ)/found/$$target- -print_final_stats=1 \
			$(FUZZ)/corpus/$$target $(FUZZ)/seeds/$$target || exit 1; \
	done

# For each target, where `accept` fuzzes: twenty minutes in all, and what it learned is there the next time.
accept: SECONDS = 240
accept: ## minutes of load against the clock, with a transcript, then `make fuzz SECONDS=240`; needs a C++ compiler
	@command -v $${CXX:-c++} >/dev/null || { echo 'error: the fuzz run of `make accept` needs a C++ compiler: apt-get install g++' >&2; exit 1; }
	cargo build --release --locked --package tidegate --package tests --bins
	cargo run --release --locked --package tests --bin accept
	$(MAKE) fuzz SECONDS=$(SECONDS)

accepted: ## `tidegate accept` of all five recipes, release build; writes docs/recipes/accepted.md, for a quiet machine
	cargo build --release --locked --package tidegate
	tests/accepted.sh $(TARGET)/release/tidegate docs/recipes/accepted.md $(OPTIONS)

bench: ## the functions beside others that do the same work, then the local run; writes docs/performance.md, for a quiet machine; needs Node 20 and Python 3.11
	cargo build --profile lambda --locked --package bench
	python3 tests/bench/functions.py --programs $(TARGET)/lambda --page docs/performance.md
	$(MAKE) bench-local

LOCAL_RUN = --tidegate $(TARGET)/release/tidegate --load $(TARGET)/release/load
bench-local: ## events a second that the local run accepts and stores, their processor time, and an audit; writes docs/performance.md, for a quiet machine; needs Python 3.11
	cargo build --release --locked --package tidegate --package bench --bin tidegate --bin load
	python3 tests/bench/local.py $(LOCAL_RUN) --page docs/performance.md $(OPTIONS)

soak: ## the local run under a steady load: memory and freshness, 10 minutes; `make soak OPTIONS='--seconds 60 --rate 5000'`; needs Python 3.11
	cargo build --release --locked --package tidegate --package bench --bin tidegate --bin load
	python3 tests/bench/soak.py $(LOCAL_RUN) $(OPTIONS)

peers: ## the programs that the functions are measured beside still store the same; needs Node 20 and Python 3.11
	cargo build --release --locked --package bench
	python3 tests/bench/functions.py --programs $(TARGET)/release --compare-only

instructions: ## instructions of the hot paths against tests/bench/instructions.toml, `make instructions RENEW=1` writes it; needs valgrind and Python 3.11
	cargo build --release --locked --package bench --bin work
	python3 tests/bench/instructions.py --work $(TARGET)/release/work $(if $(RENEW),--renew)

bench-start: functions ## processor time of a start, against the AWS SDK's defaults, and sizes of the zips; needs Python, openssl
	cargo build --release --locked --manifest-path tests/bench/sdk-defaults/Cargo.toml --target-dir $(TARGET)/sdk-defaults
	python3 tests/bench/start.py --functions $(TARGET)/functions --sdk-defaults $(TARGET)/sdk-defaults/release/sdk-defaults

samples: $(CDK_MODULES) ## docs/samples: what a few requests become, from a real run; needs Node
	cargo build --locked --package tidegate --package tests --bin tidegate --bin samples
	$(TARGET)/debug/samples
	cd cdk && npx tsx scripts/dashboard.ts

# The deployment, in TypeScript: Node 20 or newer with npm, and Python; no Rust, no credentials.
$(CDK_MODULES): cdk/package-lock.json
	cd cdk && npm ci --no-audit --no-fund
	touch $@

$(CDK_VENV): cdk/requirements.txt
	python3 -m venv cdk/.venv
	cdk/.venv/bin/pip install --quiet --requirement cdk/requirements.txt
	touch $@

contract: ## cdk/contract.json, which tells the CDK what the functions need; a test fails while it is out of date
	cargo run --locked --package tests --bin contract

test-cdk: $(CDK_MODULES) $(CDK_VENV) ## the deployment: data, permissions, alarms, all against cdk/contract.json
	cd cdk && npm test

# A stage with everything that may be the operator's own.
OWN = -c keyArn=arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab \
	-c vpc=vpc-0a1b2c3d -c subnets=subnet-0a1b2c3d,subnet-1a2b3c4d -c routeTables=rtb-0a1b2c3d
lint-cdk: $(CDK_MODULES) $(CDK_VENV) ## the deployment: types, style, both stages and one with credentials, a key and a VPC synthesized, cdk-nag, cfn-lint, hadolint
	cd cdk && npm run build && npm run lint
	cd cdk && npx cdk synth --quiet -c assets=placeholder -c stage=dev --output cdk.out/dev
	cd cdk && npx cdk synth --quiet -c assets=placeholder -c stage=prod -c public=true --output cdk.out/prod
	cd cdk && npx cdk synth --quiet --app 'npx tsx bin/github.ts' -c repository=acme/tidegate --output cdk.out/github
	cd cdk && sed 's/^mode = "none"$$/mode = "api_key"/' ../tidegate.toml >cdk.out/keys.toml
	cd cdk && npx cdk synth --quiet -c assets=placeholder -c stage=prod -c configuration=cdk.out/keys.toml $(OWN) --output cdk.out/keys
	cd cdk && .venv/bin/cfn-lint cdk.out/*/*.template.json
	cdk/.venv/bin/hadolint Dockerfile
