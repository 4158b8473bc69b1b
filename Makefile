# Everything here needs Go and make, nothing else. Tools are built from the
# modules that tools/*/go.mod pin. GOFLAGS, GOCACHE and GOPROXY are yours.

# One setting for everything but the race detector, so that tools, releases, lint and
# tests share what is compiled: with other settings each package is compiled anew. All of
# it is linked without tables for debuggers, so none are written (a tenth of the time and
# a fifth of the build cache).
SHARED := -trimpath -gcflags=all=-dwarf=false
export CGO_ENABLED := 0
export GOFLAGS := $(filter-out $(SHARED),$(shell go env GOFLAGS)) $(SHARED)

# Go uses all cores by itself; two builds at once would only share them.
.NOTPARALLEL:

BIN := $(CURDIR)/.cache/bin

# The version of a release, such as v1.2.3; that of the manifests if empty.
VERSION ?=

# The modules with code of ours: this one, and those that keep what only a test
# or a tool needs out of its go.mod.
MODULES := . $(patsubst %/go.mod,%,$(wildcard test/*/go.mod)) $(patsubst %/,%,$(sort $(dir $(wildcard tools/*/*.go))))

# The race detector needs a C compiler on Linux; without one the tests run
# without it, and say so. With REQUIRE_RACE=1 they fail instead.
REQUIRE_RACE ?=
RACE := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo -race)

# How long each fuzz target runs.
FUZZTIME ?= 5s

# How many histories of each kind the property tests draw.
CHECKS ?= 1000

# Statement coverage in percent that fn must not fall below.
COVERAGE ?= 90

# What a release is built for, and where it is published.
PLATFORMS ?= linux/amd64,linux/arm64
REGISTRY ?= ghcr.io/serviceconnections

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile


# The demo is the process that Ctrl-C reaches, so make hands over to it.
.PHONY: demo
demo: ## Run the examples on a real control plane on this machine, until Ctrl-C.
	@tools/steps "$(MAKE)" build controlplane-tools clients demo-binary
	@exec $(BIN)/demo

.PHONY: demo-binary
demo-binary:
	@go build -C test/e2e -o $(BIN)/demo ./demo

.PHONY: demo-down
demo-down: ## Stop the demo that runs.
	@if [ -x $(BIN)/demo ]; then $(BIN)/demo -down; else echo "no demo runs"; fi

.PHONY: render
render: build render-tools ## Render each example, or EXAMPLE=awsrole, with Crossplane's own engine, and explain what comes out.
	@go run ./test/render/explain $(if $(EXAMPLE),example/$(EXAMPLE))

.PHONY: render-yaml
render-yaml: build render-tools ## Print the YAML of each example, or of EXAMPLE=awsrole.
	@go run ./test/render/explain -yaml $(if $(EXAMPLE),example/$(EXAMPLE))


.PHONY: test
test: ## Run everything that continuous integration runs.
	@tools/steps "$(MAKE)" lint check-generate test-race test-modules test-e2e cover

# What tests build themselves shares what the rest has compiled, so they see the
# settings of all the rest. Lint has vet's rules. A result that go test remembers is as
# good as a new one here: test/inputs names what it doesn't see by itself.
.PHONY: test-race
test-race: render-tools ## Run the tests of this module with the race detector.
	@[ -n "$(RACE)" ] || { echo "no C compiler: the race detector is off"; [ -z "$(REQUIRE_RACE)" ] || { \
		echo "REQUIRE_RACE=$(REQUIRE_RACE) demands it: install a C compiler, or set CC"; exit 1; }; }
	@CGO_ENABLED=$(if $(RACE),1,0) go test -vet=off -timeout=30m $(RACE) -exec 'env CGO_ENABLED=0' ./...
	@$(if $(RACE),go test -vet=off -run Hostile .)

# The property tests draw the same each time, so that what continuous integration says
# depends on the code alone. make property draws anew; fn has it by hand, too (TestMain).
test-race test-modules test-e2e e2e older-kubernetes cover: export RAPID_SEED := 1

# Modules beside this one, whose tests the race detector would tell little: what runs at
# once in what we ship is in this one. They read files of this module, which go test
# doesn't look at again before it answers from its cache. So nothing is remembered.
AFRESH := -vet=off -count=1

.PHONY: test-modules
test-modules: package-tool ## Run the tests of the other modules that need no control plane, of releases for this machine alone.
	@set -e; for m in $(filter-out . test/e2e,$(MODULES)); do \
		echo "testing $$m"; go -C $$m test $(AFRESH) -short -timeout=30m ./...; \
	done

E2E := go -C test/e2e test $(AFRESH) -timeout=60m

.PHONY: test-e2e
test-e2e: build plugin controlplane-tools clients package-tool ## Run the tests on a control plane, but for those that take minutes.
	@$(E2E) -short ./...

.PHONY: e2e
e2e: build plugin controlplane-tools clients package-tool ## Run all tests on a control plane, also those that take minutes, and of releases for all platforms.
	@go -C tools/package test $(AFRESH) -timeout=30m ./...
	@$(E2E) ./...

# The oldest Kubernetes that tools/ pins, which has no policy that injects: the webhook
# does. Its API server and controllers take some minutes to build, once.
OLDER := 1.34

.PHONY: older-kubernetes
older-kubernetes: build plugin controlplane-tools clients ## Run tests of the injection on a Kubernetes without the policy, by the webhook.
	@tools/install kubernetes-$(OLDER)/kube-apiserver=kube-apiserver-$(OLDER) kubernetes-$(OLDER)/kube-controller-manager=kube-controller-manager-$(OLDER)
	@KUBERNETES=$(OLDER) $(E2E) -run '$(or $(RUN),TestWebhook|TestWorkloadKinds|TestLabelledPod|TestUsersPod|TestContainers|TestTwoClaims|TestClaimDeleted)' .

# How many claims fill the control plane, and how many histories it is told.
CLAIMS ?= 300
HISTORIES ?= 10

# One mode after the other, since each has all claims.
.PHONY: faults
faults: build controlplane-tools ## Let parts of a full control plane fail, for an hour or two, and look whether anything is lost.
	@set -e; for mode in Namespaced Claims; do \
		go -C test/e2e test $(AFRESH) -timeout=4h -v -run "(TestFaults|TestDisturbedHistories)/$$mode" . \
			-faults.claims=$(CLAIMS) -faults.time=1m -rapid.checks=$(HISTORIES); \
	done

.PHONY: scale
scale: build controlplane-tools ## Measure what claims cost a control plane, beside function-patch-and-transform, into docs/benchmark.md.
	@tools/install function-auto-ready/function-auto-ready
	@go -C test/e2e run ./scale $(SCALE)

.PHONY: podcost
podcost: build controlplane-tools ## Measure what ServiceConnections add to the creation of a pod, and write docs/podcost.md.
	@go -C test/e2e run ./podcost

# The linters that need types look into all that a module imports, which for the
# providers' generated types takes many minutes and 3 GB.
.PHONY: lint
lint: ## Lint every module, with vet's rules among others, and the workflows.
	@tools/install golangci-lint/golangci-lint actions/actionlint
	@$(BIN)/actionlint -shellcheck= -pyflakes= .github/workflows/*.yaml
	@set -e; for m in $(MODULES); do \
		echo "linting $$m"; [ $$m = test/providers ] && fast=--fast-only || fast=; \
		(cd $$m && GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/golangci-lint $(BIN)/golangci-lint run $$fast --allow-parallel-runners --config $(CURDIR)/.golangci.yml ./...); \
	done

.PHONY: vet
vet: ## Vet every module.
	@set -e; for m in $(MODULES); do go -C $$m vet ./...; done

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME.
	@find . -name .cache -prune -o -name '*_test.go' -exec grep -l '^func Fuzz' {} + | sort | while read -r f; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$f"); do \
			echo "fuzzing $$target of $$f for $(FUZZTIME)"; \
			go -C "$$(dirname "$$f")" test -vet=off -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) . || exit 1; \
		done; \
	done

.PHONY: property
property: ## Try the invariants on CHECKS random histories of each kind.
	@go test ./fn -run 'Invariants|World' -rapid.checks=$(CHECKS) -timeout=2h

.PHONY: bench
bench: ## Measure time and memory of a call beside function-patch-and-transform, into docs/benchmark.md.
	@go test -run '^$$' -bench . -benchmem ./fn/...
	@go -C test/bench run .

.PHONY: cover
cover: ## Measure the statement coverage of fn and fail below COVERAGE percent.
	@mkdir -p .cache
	@go test -vet=off -coverpkg=./fn/... -coverprofile=.cache/cover.out ./fn/...
	@go tool cover -func=.cache/cover.out | awk -v want=$(COVERAGE) \
		'$$1 == "total:" { print "fn: " $$NF " of statements, at least " want "% wanted"; if ($$NF + 0 < want) exit 1 }'


.PHONY: build
build: ## Build the function into .cache/bin.
	@mkdir -p $(BIN)
	@go build -ldflags='-s -w -X main.version=$(or $(VERSION),dev)' -o $(BIN)/function-service-connections .

# The tool to build a release with. Two builds of one commit are the same, so what
# depends on the time takes the commit's.
.PHONY: package-tool
package-tool:
	@tools/install crossplane-cli/crossplane kubernetes/kubectl
	@go build -C tools/package -o $(BIN)/package .

.PHONY: package
package: package-tool ## Build a release into dist: packages, manifests, bills of materials.
	@$(BIN)/package -root . -out dist -version "$(VERSION)" -platforms "$(PLATFORMS)" \
		-revision "$$(git rev-parse HEAD 2>/dev/null)" -created "$$(git log -1 --format=%ct 2>/dev/null || echo 0)"
	@ls -l dist && cat dist/digests.txt

.PHONY: push
push: package-tool ## Publish the release in dist under REGISTRY, and print the digests.
	@$(BIN)/package -root . -out dist -push "$(REGISTRY)"

.PHONY: plugin
plugin: ## Build kubectl serviceconnections into .cache/bin.
	@mkdir -p $(BIN)
	@go build -ldflags='-s -w -X main.version=$(or $(VERSION),dev)' -o $(BIN)/ ./cmd/kubectl-serviceconnections

PLUGIN_PLATFORMS ?= linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64

.PHONY: krew
krew: ## Build the plugin's archives and its Krew manifest into dist, for VERSION=v1.2.3.
	@go run ./package/krew -out dist -version "$(VERSION)" -platforms "$(PLUGIN_PLATFORMS)"

.PHONY: generate
generate: ## Generate what is generated: deepcopy, the input's CRD, both XRDs.
	@go generate ./...

# Generates into a folder of its own, so that a check changes nothing and needs
# no git.
.PHONY: check-generate
check-generate: ## Fail when a generated file isn't what generate would write.
	@echo "checking generated files (builds controller-gen once)…"
	@rm -rf .cache/generate
	@go run ./generate -root . -out .cache/generate
	@for f in $$(cd .cache/generate && find . -type f); do diff -u "$$f" ".cache/generate/$$f" || drift=yes; done; \
		[ -z "$$drift" ] || { echo "generated files differ: run make generate"; exit 1; }

.PHONY: render-tools
render-tools: ## Build Crossplane's engine and CLI, and function-patch-and-transform.
	@tools/install crossplane/crossplane-core crossplane-cli/crossplane function-patch-and-transform/function-patch-and-transform

.PHONY: controlplane-tools
controlplane-tools: providers ## Build etcd, Kubernetes, Crossplane and providers, for a real control plane.
	@tools/install etcd/etcd kubernetes/kube-apiserver kubernetes/kube-controller-manager kubernetes/kubectl \
		crossplane/crossplane-core function-patch-and-transform/function-patch-and-transform provider-kubernetes/provider-kubernetes

# The providers of the tests, but for the real provider-kubernetes.
.PHONY: providers
providers:
	@mkdir -p $(BIN)
	@[ -x $(BIN)/providers ] || echo "building the providers of the tests (once, some minutes)…"
	@go build -C test/providers -o $(BIN)/providers .

# What logs in from the pods of the tests, by the clouds' own libraries, and the proxy.
.PHONY: clients
clients:
	@tools/install cloud-sql-proxy/cloud-sql-proxy
	@mkdir -p $(BIN)/clients
	@[ -x $(BIN)/clients/application ] || echo "building the clients of the tests (once, a minute or two)…"
	@go build -C test/clients -o $(BIN)/clients/ ./application ./aws ./azure ./disk ./google ./postgres

# It depends on the day and on the module proxy, so it is no part of make test.
.PHONY: pins
pins: ## Say which pinned versions are old, and fail where a newer one has been there for weeks.
	@go run -C tools/pins . -root $(CURDIR)

.PHONY: align
align: ## Give what several modules import one version in all of them, so that it is compiled once.
	@go run -C tools/pins . -root $(CURDIR) -align

.PHONY: clean
clean: ## Remove everything that was built.
	rm -rf .cache dist
