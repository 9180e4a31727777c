# make demo   both directions of events, and a Broker, on this machine, over gRPC and TCP
# make test   everything that needs no cluster: vet, linters, generated files, all tests with the race detector
# make help   the other targets

GO ?= go
TOOL = $(GO) tool -modfile=tools/go.mod
COVERAGE_MIN = 80
IMAGE_MAX = 17000000
CONTROLLER_MAX = 25000000
# As in .ko.yaml, which says why.
BUILD_FLAGS = -trimpath -tags=grpcnotrace

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: build
build: ## build the programs into bin/
	$(GO) build $(BUILD_FLAGS) -o bin/ ./cmd/...

.PHONY: tools
tools: ## build ko and kustomize into bin/tools/
	@echo 'building ko and kustomize: minutes the first time'
	@mkdir -p bin/tools && for tool in ko kustomize; do \
		built=$$($(GO) tool -modfile=tools/cluster/go.mod -n $$tool) && install "$$built" bin/tools/$$tool || exit 1; \
	done

.PHONY: images
images: tools ## build the images, and push them to KO_DOCKER_REPO
	bin/tools/ko build --base-import-paths $(wildcard ./cmd/*)

# From a commit with the tag VERSION and no changes; docs/releasing.md says more.
.PHONY: release
release: tools ## make the files of the release VERSION, such as v0.1.0, in release/, which must not be there, and push its images to KO_DOCKER_REPO
	$(GO) -C tools/cluster build -trimpath -o ../../bin/tools/release ./release
	bin/tools/release -version '$(VERSION)'

.PHONY: check-release
check-release: tools ## make a release of what is here with a registry in memory, and check it and its charts
	@echo 'building Helm: minutes the first time'
	$(GO) -C tools/cluster test -count=1 ./...

.PHONY: image-size
image-size: ## fail when a program needs more than 17 MB in its image, the controller of Brokers 25 MB, compressed as ko does it; the base is below 1 MB
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	for program in source sink broker-ingress broker-dispatcher broker-controller; do \
		CGO_ENABLED=0 $(GO) build $(BUILD_FLAGS) -ldflags='-s -w' -o "$$dir/$$program" ./cmd/$$program && \
		size=$$(gzip -1 -c "$$dir/$$program" | wc -c) && \
		echo "$$program: $$size bytes" && \
		most=$(IMAGE_MAX); test "$$program" != broker-controller || most=$(CONTROLLER_MAX); \
		{ test "$$size" -le $$most || { echo "want at most $$most"; exit 1; }; } || exit 1; \
	done

.PHONY: demo
demo: build ## send events in both directions, between separate processes; with a real EventMesh where EVENTMESH_GRPC_URL or EVENTMESH_TCP_URL names one
	$(GO) run ./test/demo --bin bin

.PHONY: test
test: lint check-generate check-monitoring unit coverage ## run every check that needs no cluster

# The modules with Go code of ours besides the main one, which vet and golangci-lint do not enter.
MODULES = pkg/dispatch/internal/journal/compare test/bench/plot test/monitoring test/rekt tools/cluster

.PHONY: lint
lint: check-workflows ## run vet and the linters, in all modules
	@echo 'building everything, and the linters: minutes the first time'
	$(GO) vet ./...
	$(TOOL) golangci-lint run
	@lint=$$($(TOOL) -n golangci-lint) && for module in $(MODULES); do \
		echo "$(GO) vet and golangci-lint in $$module" && $(GO) -C $$module vet ./... && \
		(cd $$module && "$$lint" run --config '$(CURDIR)/.golangci.yml') || exit 1; \
	done

# In a module of its own, as golangci-lint needs a later version of yaml/v4 than actionlint builds with. Without shellcheck, which not every machine has.
.PHONY: check-workflows
check-workflows: ## check .github/workflows
	$(GO) tool -modfile=tools/actionlint/go.mod actionlint -shellcheck= -pyflakes= .github/workflows/*.yaml

.PHONY: unit
unit: ## run all tests with the race detector
	@echo 'building the tests with the race detector, and running them: the first line comes after minutes, the first time'
	$(TOOL) gotestsum --format pkgname-and-test-fails -- -race -timeout=30m -coverpkg=./pkg/... -coverprofile=coverage.out ./...

.PHONY: coverage
coverage: ## fail when the last make unit covered too little of pkg/
	@$(GO) tool cover -func=coverage.out | awk '/^total:/ { sub("%", "", $$3); print "coverage of pkg/: " $$3 " %"; if ($$3 < $(COVERAGE_MIN)) { print "want at least $(COVERAGE_MIN) %"; exit 1 }; seen = 1 } END { exit !seen }'

.PHONY: generate
generate: ## regenerate code and documents
	$(TOOL) buf generate
	$(GO) run ./internal/configdoc > docs/configuration.md

.PHONY: check-generate
check-generate: ## fail when generated files differ from what make generate writes
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	$(TOOL) buf generate --output "$$dir" && \
	for f in eventmesh.pb.go eventmesh_grpc.pb.go; do \
		diff -u "pkg/eventmesh/grpc/eventmeshpb/$$f" "$$dir/pkg/eventmesh/grpc/eventmeshpb/$$f" || { echo "run make generate"; exit 1; }; \
	done && \
	$(GO) run ./internal/configdoc | diff -u docs/configuration.md - || { echo "run make generate"; exit 1; }

# With -count=1, since Go's cache of results does not notice changes of files outside the module.
.PHONY: check-monitoring
check-monitoring: ## fail when Prometheus would refuse a query of config/monitoring, could find nothing with it, or an alert does not fire
	$(GO) -C test/monitoring test -count=1 ./...

# The cluster beside the repository is used when KUBECONFIG names none.
CLUSTER ?= ../shared/cluster
IN_CLUSTER = if test -z "$$KUBECONFIG" && test -x $(CLUSTER)/up; then \
		variables=$$($(CLUSTER)/up) && eval "$$variables" && export PATH="$$(cd $(CLUSTER) && pwd):$$PATH"; \
	fi && \
	export PATH="$$PWD/bin/tools:$$PATH" KOCACHE="$${KOCACHE:-$$PWD/bin/ko}"

.PHONY: e2e
e2e: tools ## test what is deployed, in the cluster that KUBECONFIG names, with images pushed to KO_DOCKER_REPO
	@$(IN_CLUSTER) && \
	$(GO) test -tags=e2e -count=1 -timeout=25m -parallel=4 -v ./test/e2e

# Of the class that BROKER_CLASS names. The images and config/broker come from this folder; devmesh stands for EventMesh. With SECURE=true
# those of tokens and event policies, with the features that they need.
BROKER_CLASS ?= EventMesh

.PHONY: rekt
rekt: tools ## run Knative's conformance suites of Brokers in the cluster that KUBECONFIG names; some 25 minutes
	@$(IN_CLUSTER) && export BROKER_CLASS=$(BROKER_CLASS) SECURE=$(SECURE) && \
	test/rekt/run

.PHONY: contract
contract: ## run the suite that every transport passes; with a real EventMesh where EVENTMESH_GRPC_URL or EVENTMESH_TCP_URL names one
	$(GO) test -count=1 -timeout=45m -v ./test/contract

.PHONY: test-faults
test-faults: ## break everything around the source, and account for each event; FAULTS=long runs a quarter of an hour
	$(GO) -C test/faults test $(if $(filter long,$(FAULTS)),,-race) -count=1 -timeout 2h

.PHONY: test-load
test-load: ## run the load tests of the sink in full, one to four minutes; needs 12,000 open files
	LOAD=full $(GO) test -count=1 -v -timeout 30m -run '^TestLoad' ./cmd/sink

.PHONY: bench
bench: ## compare the adapters' cost with the least that can do the same, and write docs/performance; a quarter of an hour on a quiet machine
	$(GO) run ./test/bench -out docs/performance
	$(GO) -C test/bench/plot run . ../../../docs/performance

.PHONY: bench-check
bench-check: ## fail when the adapters cost a fifth more than docs/performance says; a minute
	$(GO) run ./test/bench -check docs/performance/report.json

.PHONY: bench-broker
bench-broker: tools ## compare Brokers of class EventMesh with Knative's own, in the cluster that KUBECONFIG names, and write docs/performance; a quarter of an hour; BENCH=-short for less
	@$(IN_CLUSTER) && \
	test/bench/broker/run $(or $(BENCH),-out docs/performance)

.PHONY: bench-stores
bench-stores: ## compare what could keep events on disk, four minutes on a quiet machine; prints tables
	$(GO) -C pkg/dispatch/internal/journal/compare run .

.PHONY: fuzz
fuzz: ## run each fuzz target for a minute
	$(GO) test -run='^$$' -fuzz=FuzzMapping -fuzztime=1m ./pkg/eventmesh/internal/wire
	$(GO) test -run='^$$' -fuzz=FuzzDecode -fuzztime=1m ./pkg/eventmesh/internal/wire
	$(GO) test -run='^$$' -fuzz=FuzzMessage -fuzztime=1m ./pkg/eventmesh/internal/wire
	$(GO) test -run='^$$' -fuzz=FuzzJSONTravels -fuzztime=1m ./pkg/eventmesh/internal/wire
	$(GO) test -run='^$$' -fuzz=FuzzJSONThroughTCP -fuzztime=1m ./pkg/eventmesh/eventmeshtest
	$(GO) test -run='^$$' -fuzz=FuzzRecord -fuzztime=1m ./pkg/dispatch
	$(GO) test -run='^$$' -fuzz=FuzzHTTP -fuzztime=1m -fuzzminimizetime=1s ./pkg/adapter/sink
	$(GO) test -run='^$$' -fuzz=FuzzVerify -fuzztime=1m ./internal/token
	$(GO) test -run='^$$' -fuzz=FuzzRead -fuzztime=1m ./pkg/eventmesh/tcp/frame
	$(GO) test -run='^$$' -fuzz=FuzzUnmarshal -fuzztime=1m ./internal/jsonevent
	$(GO) test -run='^$$' -fuzz=FuzzWrite -fuzztime=1m ./internal/httpevent
	$(GO) test -run='^$$' -fuzz=FuzzAppend -fuzztime=1m ./internal/jsonevent
	$(GO) test -run='^$$' -fuzz=FuzzOutcome -fuzztime=1m ./pkg/eventmesh/grpc
	$(GO) test -run='^$$' -fuzz=FuzzMembers -fuzztime=1m ./internal/jsontext
	$(GO) test -run='^$$' -fuzz=FuzzElements -fuzztime=1m ./internal/jsontext
	$(GO) test -run='^$$' -fuzz=FuzzAppendString -fuzztime=1m ./internal/jsontext
	$(GO) test -run='^$$' -fuzz=FuzzSurvivesParsing -fuzztime=1m ./pkg/eventmesh/internal/wire
	$(GO) test -run='^$$' -fuzz=FuzzRead -fuzztime=1m ./internal/httpevent
	$(GO) test -run='^$$' -fuzz=FuzzRead -fuzztime=1m -fuzzminimizetime=1s ./internal/boltfile
	$(GO) test -run='^$$' -fuzz=FuzzOpen -fuzztime=1m ./pkg/dispatch/internal/journal
