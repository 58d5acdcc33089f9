# The only front door. Each target calls cargo or a binary, and nothing else happens here.

SHELL := /bin/bash
CARGO ?= cargo
SCENARIOS := $(wildcard scenarios/*.toml)
FUZZ_TARGETS := frame icmp fragments ipv6 scenario config
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help setup run test check process bench paper gate reference seeds netns fuzz \
  $(FUZZ_TARGETS:%=fuzz-%)

help: ## Show this text
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install what is missing on Debian and Ubuntu (DPDK, pkg-config, a C compiler)
	@./.ci/setup

run: setup ## The main job: IMIX through Krononat on this machine, under a minute after the build
	@$(CARGO) run --release --quiet --bin krono -- run scenarios/imix.toml

test: setup ## Everything that must pass before a change lands
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace
	SEEDS=$(or $(SEEDS),10000) $(CARGO) test -p krononat --test seeds worlds -- --nocapture
	$(CARGO) test -p krononat --test netns -- --where-possible
	$(CARGO) test -p krononat --test bgp_interop
	$(CARGO) test -p krono --test hosts_netns -- --where-possible
	$(CARGO) run --quiet --bin krono -- check $(SCENARIOS)

check: setup ## Formatting, lints and scenarios
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p krononat --test netns --test bgp_interop -- -D warnings
	$(CARGO) clippy -p krono --test hosts_netns -- -D warnings
	$(CARGO) run --quiet --bin krono -- check $(SCENARIOS)

process: setup ## IMIX with Krononat as a process of its own, over memif
	$(CARGO) build --release --bins
	$(CARGO) run --release --quiet --bin krono -- run scenarios/imix.toml --testbed process

bench: setup ## Figures beside what is asked of them, in four minutes; FULL=1 with 60 M connections
	$(CARGO) build --release --quiet --bins --examples
	@$(CARGO) run --release --quiet -p krono --example bench -- $(if $(FULL),--full)

reference: setup ## IMIX once more, its run kept in results/reference as an example and a baseline of this host
	$(CARGO) build --release --quiet --bins
	@$(CARGO) run --release --quiet --bin krono -- run scenarios/imix.toml \
	  --out results/reference/$$(date +%F-%H%M)-imix-$$(hostname)

paper: setup ## Every claim of the paper beside what is found here, one report; QUICK=1 in a few minutes
	$(CARGO) build --release --quiet --bins -p krono
	$(CARGO) build --release --quiet -p krononat --example table
	@$(CARGO) run --release --quiet --bin krono -- paper $(if $(QUICK),--quick) $(if $(PRICE),--price '$(PRICE)')

gate: setup ## Judge this tree against BASE=<rev>: instructions, then time by turns, in about five minutes
	@test -n "$(BASE)" || { echo "make gate BASE=<git revision>" >&2; exit 2; }
	@CARGO=$(CARGO) ./.ci/gate $(BASE) $(GATE)

seeds: setup ## Random clusters in random faults, SEEDS of them, 10000 if not given; SEED=n replays one
	SEEDS=$(or $(SEEDS),10000) SEED=$(SEED) \
	  $(CARGO) test --release -p krononat --test seeds -- --nocapture

netns: ## Real clients through Krononat, nftables beside it; clusters behind BIRD and FRR (see docs/netns.md)
	@./.ci/setup netns
	$(CARGO) test -p krononat --test netns
	$(CARGO) test -p krononat --test bgp_interop
	$(CARGO) build --bins
	$(CARGO) test -p krono --test hosts_netns

fuzz: $(FUZZ_TARGETS:%=fuzz-%) ## Every fuzz target for SECONDS each, 60 if not given (see fuzz/README.md)

$(FUZZ_TARGETS:%=fuzz-%): fuzz-%:
	@./.ci/setup fuzz
	@mkdir -p fuzz/corpus/$*
	$(CARGO) +nightly fuzz run $* fuzz/corpus/$* $(wildcard fuzz/seeds/$*) $(if $(filter scenario,$*),scenarios) -- \
	  -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
