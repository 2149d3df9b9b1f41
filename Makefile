# cloison: build, show, test, measure. `make help` lists the targets.

TARGET  := x86_64-unknown-linux-gnu
BINARY  := target/$(TARGET)/release/cloison
CARGO   ?= cargo

# What each target needs beyond Rust; tests/deps installs what is missing.
BUILD_PACKAGES := gcc libc6-dev musl-dev libseccomp-dev
TEST_PACKAGES  := $(BUILD_PACKAGES) busybox-static python3 strace util-linux
DEMO_PACKAGES  := $(BUILD_PACKAGES) busybox-static jq
BENCH_PACKAGES := $(TEST_PACKAGES) crun runc
ALL_PACKAGES   := $(sort $(TEST_PACKAGES) $(DEMO_PACKAGES) $(BENCH_PACKAGES) debootstrap)

# Another runtime to aim test-it and conformance at; empty means this one.
RUNTIME    ?=
# A directory of built validation programs of the OCI's runtime-tools.
VALIDATION ?=
# v2 gives conformance a pure cgroup v2 view; empty takes the host's own.
CGROUP     ?=
# Where bench writes its table, JSON and plots; empty means target/bench/results.
RESULTS    ?=
# Passed on: test names for test-it, program names for conformance, options for bench.
ARGS       ?=

# An empty RUNTIME must not reach programs that ask whether it is set.
ifeq ($(strip $(RUNTIME)),)
unexport RUNTIME
conformance: build
endif

.DEFAULT_GOAL := help
.PHONY: help deps build static test lint test-it faults races demo conformance bench budgets hot ledger fuzz deny sbom reproducible reference lines clean

help: ## this list
	@awk '/^## / { said = substr($$0, 4) } \
	      /^[a-z-]+:/ { name = $$1; sub(/:.*/, "", name); if (sub(/.*## /, "")) said = $$0; \
	                   if (said) printf "  make %-12s %s\n", name, said } \
	      !/^## / { said = "" }' $(MAKEFILE_LIST)

deps: ## install the Debian packages that anything below needs
	@tests/deps $(ALL_PACKAGES)

build: ## the release binary, static
	@tests/deps $(BUILD_PACKAGES)
	RUSTC_WRAPPER=$(CURDIR)/supply/rustc $(CARGO) build --release --locked --config link/release.toml
	@if readelf --program-headers --wide $(BINARY) | grep -q INTERP; then \
		echo "$(BINARY) is not static" >&2; exit 1; fi

lint: ## formatting and clippy, warnings refused; whether fuzz/Cargo.lock is up to date
	@tests/deps $(BUILD_PACKAGES)
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null

test: lint ## lint, unit, golden and integration tests (as root), the last also with systemd
	@tests/deps $(TEST_PACKAGES)
	$(CARGO) test --locked
	@tests/vm/test $(LAB_KERNELS)

test-it: ## integration tests only; RUNTIME=/usr/sbin/runc aims them elsewhere, ARGS=name selects
	@tests/deps $(TEST_PACKAGES)
	$(CARGO) test --locked --test it -- $(ARGS)

faults: ## kill every verb at each system call, and let each fail; RUNTIME=, ARGS="--sample N create"
	@tests/deps $(TEST_PACKAGES)
	$(CARGO) test --locked --test faults -- $(or $(ARGS),--all)

races: ## commands that meet, in the numbers of busy hosts; RUNTIME= aims them elsewhere
	@tests/deps $(TEST_PACKAGES)
	RACES=full $(CARGO) test --locked --test it -- --test-threads=1 races:: exchange:: $(ARGS)

demo: ## a container from nothing to nothing; ROOTFS=debian runs a Debian tree
	@tests/deps $(DEMO_PACKAGES) $(if $(filter debian,$(ROOTFS)),debootstrap)
	@$(MAKE) --no-print-directory build
	@examples/demo/demo $(BINARY) $(or $(ROOTFS),busybox)

conformance: ## OCI validation programs; VALIDATION=DIR [RUNTIME=path] [CGROUP=v2] [ARGS=program]
	@tests/deps python3 util-linux
	@tests/conformance/run --runtime $(abspath $(or $(strip $(RUNTIME)),$(BINARY))) \
		$(if $(CGROUP),--cgroup $(CGROUP)) "$(VALIDATION)" $(ARGS)

bench: build ## time every verb beside RUNTIMES="crun=/usr/bin/crun runc=/usr/sbin/runc"; RESULTS=docs/bench
	@tests/deps $(BENCH_PACKAGES)
	@tests/bench/bench --cloison $(BINARY) $(if $(RUNTIMES),--runtimes "$(RUNTIMES)") \
		$(if $(RESULTS),--results "$(RESULTS)") $(ARGS)

hot: ## write link/hot.ld anew: which functions the verbs call, for the linker to lay side by side
	@tests/deps $(TEST_PACKAGES)
	@tests/bench/hot

budgets: build ## whether the release binary keeps within tests/budgets.table
	@tests/deps $(TEST_PACKAGES)
	@tests/bench/budgets $(BINARY)

ledger: ## what runtime-spec demands and what is hostile: rows, tests, and what has none (specs 52, 60)
	$(CARGO) test --locked --quiet --test ledger -- --nocapture --test-threads 1

fuzz: ## search for inputs that break promises, SECONDS=60 in all; TARGETS="config wire", KEEP=1 keeps
	@tests/deps $(BUILD_PACKAGES) g++
	@KEEP=$(KEEP) CARGO="$(CARGO)" fuzz/run $(or $(SECONDS),60) $(TARGETS)

deny: ## licences, duplicates and sources of what is depended on; ADVISORIES=1 fetches known defects
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --offline check bans licenses sources
	$(if $(ADVISORIES),$(CARGO) deny check advisories)

sbom: ## what the release binary is made of, as CycloneDX: target/sbom.json
	@$(CARGO) cyclonedx --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-cyclonedx
	@supply/sbom target/sbom.json

reproducible: ## build the last commit twice, in two directories, and compare the bytes
	@supply/reproducible

reference: ## manual pages, completions for bash, fish and zsh: target/reference
	@tests/deps $(BUILD_PACKAGES)
	$(CARGO) run --locked --quiet --example reference -- target/reference

lines: ## how much code there is, and where
	@tests/lines src tests examples

clean: ## remove everything built
	$(CARGO) clean

-include tests/vm/lab.mk
