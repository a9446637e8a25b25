# Erlang clusters on Kubernetes, verified. `make help` lists the commands.

SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The overlay that `make deploy` installs: config/webhook on Kubernetes below 1.36.
CONFIG ?= config/default
# The image that `make deploy` installs.
IMG ?= ghcr.io/erlang-operator/erlang-operator:dev

TOOL       := go tool -modfile=$(CURDIR)/hack/tools/go.mod
LINT       := go tool -modfile=$(CURDIR)/hack/lint/go.mod golangci-lint run --allow-parallel-runners --build-tags=erlang,e2e
CLUSTER    := go run -C hack ./cluster
IMAGE      := go run -C hack ./image
LOCAL      := KUBECONFIG=$(CURDIR)/.cluster/kubeconfig
# kubectl of the machine, else the one that belongs to the one-machine Kubernetes.
KUBECTL     = $(or $(shell command -v kubectl),$(shell $(CLUSTER) build kubectl)/kubectl)
CRD        := config/crd/bases/erlang-operator.dev_erlangclusters.yaml
EXAMPLES   := elixir relx rabbitmq erl
# Modules of this repository that hold code of ours. hack/helm and hack/prometheus are linted by
# test-chart and test-rules, which compile Helm and Prometheus as well: minutes.
MODULES    := . hack hack/coredns hack/certmanager test

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^## / {printf "\n%s\n", substr($$0, 4)} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Demo

.PHONY: demo
demo: cluster-up cluster-deploy ## Start Kubernetes on this machine, install the operator, and show a Ready cluster
	$(LOCAL) $(KUBECTL) apply -k config/samples
	@echo "Waiting for the cluster to be Ready"
	@$(LOCAL) $(KUBECTL) wait --for=condition=Ready erlangcluster --all --timeout=10m || \
		{ $(LOCAL) $(KUBECTL) describe erlangclusters; $(LOCAL) $(KUBECTL) get pods -A; exit 1; }
	@echo
	$(LOCAL) $(KUBECTL) get erlangclusters
	@echo
	@echo "Look around: export KUBECONFIG=$(CURDIR)/.cluster/kubeconfig"
	@echo "Clean up:    make cluster-down"

## Build

.PHONY: modules
modules: ## Download the Go modules, with retries
	@./hack/modules.sh

.PHONY: build
build: modules ## Build bin/erlang-operator
	CGO_ENABLED=0 go build -trimpath -o bin/erlang-operator ./cmd/erlang-operator

.PHONY: generate
generate: ## Generate CRD, RBAC, deep copies and API reference from the Go types
	$(TOOL) controller-gen object paths=./api/...
	$(TOOL) controller-gen crd:generateEmbeddedObjectMeta=true output:crd:dir=config/crd/bases paths=./api/...
	go run -C hack ./crd $(CURDIR)/$(CRD)
	$(TOOL) controller-gen rbac:roleName=erlang-operator-manager output:rbac:dir=config/rbac paths=./controllers/...
	$(TOOL) crd-ref-docs --source-path=api/v1alpha1 --config=docs/api-reference.config.yaml --renderer=markdown --output-path=docs/api-reference.md --log-level=ERROR
	go run -C hack ./apireference $(CURDIR)/docs/api-reference.md

.PHONY: format
format: ## Format the Go code
	gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')

## Kubernetes on this machine (NODES=1)

.PHONY: cluster-up
cluster-up: modules ## Start it, or the parts that have stopped; the kubeconfig is .cluster/kubeconfig
	$(CLUSTER) up

.PHONY: cluster-down
cluster-down: ## Stop it and remove everything it made
	$(CLUSTER) down

.PHONY: cluster-load
cluster-load: ## Load ARCHIVE=image.tar into every node
	$(CLUSTER) load $(abspath $(or $(ARCHIVE),$(error say which: make cluster-load ARCHIVE=image.tar)))

.PHONY: cluster-deploy
cluster-deploy: ## Build the images, load them, and install the operator
	$(CLUSTER) load $$($(IMAGE) erlang 25) $$($(IMAGE) erlang 27) $$($(IMAGE) erlang 29)
	archive=$$($(IMAGE) operator) && $(CLUSTER) load $$archive && $(LOCAL) $(MAKE) --no-print-directory deploy \
		IMG=$$(tar -xOf $$archive index.json | sed -nE 's/.*"io.containerd.image.name": ?"([^"]+)".*/\1/p')

.PHONY: cluster-examples
cluster-examples: ## Build the images of docs/examples, and load them
	archives=; for example in $(EXAMPLES); do archives+=" $$($(IMAGE) example $$example)" || exit 1; done; $(CLUSTER) load $$archives

## Install (into the cluster that KUBECONFIG names)

.PHONY: deploy
deploy: ## Install the operator; needs cert-manager
	$(TOOL) kustomize build $(CONFIG) | sed 's|ghcr.io/erlang-operator/erlang-operator:dev|$(IMG)|' | $(KUBECTL) apply --server-side -f -
	$(KUBECTL) -n erlang-operator-system rollout status deployment/erlang-operator-manager --timeout=5m

.PHONY: undeploy
undeploy: ## Remove the operator, its CRD, and with it every ErlangCluster
	$(TOOL) kustomize build $(CONFIG) | $(KUBECTL) delete --ignore-not-found -f -

## Release

.PHONY: chart
chart: ## Package the Helm chart into dist/ (VERSION=v0.1.0)
	$(if $(VERSION),,$(error say which: make chart VERSION=v0.1.0))go run -C hack ./chart -version $(VERSION) -output $(CURDIR)/dist

.PHONY: release
release: modules ## Make everything of VERSION=v0.1.0 from the commit that is checked out, in dist/
	GOTOOLCHAIN=$$(sed -n 's/^toolchain //p' go.mod) go run -C hack ./release $(or $(VERSION),$(error say which: make release VERSION=v0.1.0))

.PHONY: publish
publish: ## Sign and publish what is in dist/, VERSION=v0.1.0: docs/releasing.md
	./hack/publish.sh $(or $(VERSION),$(error say which: make publish VERSION=v0.1.0))

.PHONY: test-release
test-release: modules ## Make the release VERSION=v0.1.0 from two clean clones, and compare: a quarter of an hour
	./hack/reproduce.sh $(or $(VERSION),v0.1.0)

# The Kubernetes of this machine is made anew, twice.
.PHONY: test-install
test-install: modules ## Install VERSION=v0.1.0 as released, on a fresh Kubernetes on this machine: a quarter of an hour
	./hack/install.sh $(or $(VERSION),v0.1.0)

## Test

# The end-to-end tests run on the Kubernetes of this machine, or on the one that E2E_KUBECONFIG
# names, where the operator and cert-manager are installed and images can be pulled.
E2E = KUBECONFIG=$(or $(abspath $(E2E_KUBECONFIG)),$(CURDIR)/.cluster/kubeconfig) \
	PATH=$(if $(E2E_KUBECONFIG),,$$($(CLUSTER) build kubectl):)$$PATH go test -C test -tags e2e ./e2e

.PHONY: test
test: test-unit ## Every test
	$(MAKE) --no-print-directory -j2 test-envtest test-erlang # Side by side: most of their tests wait.
	$(MAKE) --no-print-directory test-e2e

.PHONY: test-unit
test-unit: modules ## Unit and property tests: seconds
	go test ./...
	go test -C hack ./...

.PHONY: test-envtest
test-envtest: modules ## The API and the manager against a real kube-apiserver, with the real cert-manager
	KUBEBUILDER_ASSETS=$$($(CLUSTER) build kube-apiserver etcd kube-scheduler) go test -C test -count=1 -timeout=60m ./envtest/...

# The first time builds kube-apiserver of 1.34 and 1.36: 4 minutes each on two idle cores.
.PHONY: test-versions
test-versions: modules ## test-envtest on Kubernetes 1.34 and 1.36, and on 1.37 with the webhook, or with cert-manager 1.18
	for version in 1.34 1.36; do \
		assets=$$(KUBERNETES=$$version $(CLUSTER) build kube-apiserver etcd) && \
		KUBEBUILDER_ASSETS=$$assets go test -C test -count=1 -timeout=60m ./envtest || exit 1; done
	export KUBEBUILDER_ASSETS=$$($(CLUSTER) build kube-apiserver etcd); \
	POD_IDENTITY=Webhook go test -C test -count=1 -timeout=60m ./envtest && \
	export CERT_MANAGER=$$KUBEBUILDER_ASSETS/cert-manager-1.18 && cd hack/certmanager && \
	CGO_ENABLED=0 go build -modfile=1.18/go.mod -tags=certmanager1.18 -o $$CERT_MANAGER . && \
	CERT_MANAGER_CRDS=$$(go list -modfile=1.18/go.mod -m -f '{{.Dir}}/deploy/crds' github.com/cert-manager/cert-manager) \
	go test -C $(CURDIR)/test -count=1 -timeout=30m -run 'TestCause|TestHostile|TestManagerKilled|TestPodIdentity' ./envtest

# Six at a time: most of them wait for a deadline.
.PHONY: test-erlang
test-erlang: modules ## The protocol and the probe against real nodes of OTP 25, 27 and 29
	$(CLUSTER) packages
	for release in 25 27 29; do $(IMAGE) rootfs $$release || exit 1; done
	go test -C test -tags erlang -count=1 -timeout=60m -parallel=6 ./erlang/...

# Three machines, and both families, where the kernel has IPv6.
.PHONY: test-e2e
test-e2e test-install soak: export NODES ?= 3
test-e2e test-install soak: export IPV6 ?= $(if $(wildcard /proc/sys/net/ipv6/conf/all/forwarding),1)
test-e2e: $(if $(E2E_KUBECONFIG),,cluster-up cluster-deploy cluster-examples) ## Everything on the Kubernetes of this machine, or on that of E2E_KUBECONFIG
	$(E2E) -count=1 -parallel=6 -timeout=90m -skip 'Chaos|KubeletRestart|IdentityByWebhook' -v

# The manager of config/webhook, for which the policy is deleted, in place of that of config/default.
.PHONY: test-webhook
test-webhook: cluster-up ## The webhook in place of the policy, on the Kubernetes of this machine
	$(MAKE) --no-print-directory cluster-deploy CONFIG=config/webhook
	status=0; $(E2E) -count=1 -timeout=15m -run IdentityByWebhook -v || status=$$?; \
	$(MAKE) --no-print-directory cluster-deploy && $(LOCAL) $(KUBECTL) delete --ignore-not-found \
		$(foreach file,webhook/certificate webhook/configuration webhook/service ha/replicas/disruption_budget ha/replicas/quota,-f config/$(file).yaml) && exit $$status

# Beside the others: to build Helm takes minutes.
.PHONY: test-chart
test-chart: modules ## The Helm chart: that it renders config/, its values, and helm lint
	go test -C hack/helm -count=1 ./...
	cd hack/helm && $(LINT) ./...

# Beside the others: to build Prometheus takes minutes.
.PHONY: test-rules
test-rules: modules ## The alerts, evaluated by Prometheus' own packages
	go -C hack/prometheus mod tidy -diff
	go test -C hack/prometheus -count=1 ./...
	cd hack/prometheus && $(LINT) ./...

.PHONY: bench
bench: modules ## The cost of a verification compared with its limits: ratio to a bare TLS handshake, a sweep
	for release in 25 27 29; do $(IMAGE) rootfs $$release || exit 1; done
	go test -C test -tags erlang -run '^$$' -bench . -benchtime 300x ./erlang/probe

.PHONY: bench-probe
bench-probe: modules ## What the probe costs itself and the nodes, at rest, with 3, 10 and 100 nodes: a quarter of an hour
	$(IMAGE) rootfs 27
	KUBEBUILDER_ASSETS=$$($(CLUSTER) build kube-apiserver etcd) \
		go test -C test -tags erlang -count=1 -timeout=1h -v -run TestBenchmarkProbe ./erlang/probe -soak

MESH   ?= Mesh|Memory
ROUNDS ?= 9

.PHONY: bench-mesh
bench-mesh: modules ## What a link between two nodes carries and takes, and the same with OTP's own TLS and over TCP: 20 minutes; a part of it with MESH=Mesh/OTP27/two_hosts, other settings with MESH=Settings/buffers/OTP27/one_host
	for release in 25 27 29; do $(IMAGE) rootfs $$release || exit 1; done
	go test -C test -tags erlang -run '^$$' -bench '$(MESH)' -benchtime $(ROUNDS)x -timeout=2h ./erlang

.PHONY: bench-manager
bench-manager: CLUSTERS ?= 100
bench-manager: modules ## What the manager costs the API server, CPU and memory for CLUSTERS=100 new clusters
	KUBEBUILDER_ASSETS=$$($(CLUSTER) build kube-apiserver etcd kube-controller-manager) \
		go test -C test -count=1 -timeout=1h -v ./envtest -run TestBenchmarkManager -clusters=$(CLUSTERS)

# What etcd and the API server write is kept in memory.
.PHONY: bench-growth
bench-growth: CLUSTERS ?= 1000
bench-growth: modules ## Memory, CPU and a start of the manager with 1 to CLUSTERS=1000 clusters, and docs/growth.svg: a quarter of an hour
	TMPDIR=/dev/shm KUBEBUILDER_ASSETS=$$($(CLUSTER) build kube-apiserver etcd) \
		go test -C test -count=1 -timeout=1h -v ./envtest -run 'TestBenchmark(Foreign|Growth)' -growth=$(CLUSTERS) -chart=$(CURDIR)/docs/growth.svg $(if $(PROFILE),-profile=$(abspath $(PROFILE)))

RUNS ?= 10

.PHONY: bench-ready
bench-ready: cluster-up cluster-deploy ## How long clusters of 3 and 10 take to be Ready, and certificates with a StatefulSet by hand: RUNS=10 each, a quarter of an hour
	$(E2E) -count=1 -timeout=1h -v -run TestBenchmarkReady -ready-runs=$(RUNS)

SOAK     ?= 1h
REPEAT   ?= 20
FAULTS   ?= 50
FUZZTIME ?= 10m

# A fuzzer whose time is up may fail with "context deadline exceeded": only an input that
# it wrote is a finding.
.PHONY: soak
soak: cluster-up cluster-deploy cluster-examples ## Hours: repeated renewals and rotations (SOAK=1h), repeated tests (REPEAT=20), random faults (FAULTS=50), fuzzing (FUZZTIME=10m per target)
	$(E2E) -count=1 -parallel=5 -timeout=48h -run 'TestSoak|TestStrictProbes|TestVisitorsDuringRotation|TestMachineDies|TestMachineOfTheProbeIsCutOff|TestMachineOfTheManagerIsCutOff|TestProbeIsReplacedWhileANodeHangs|TestTenMembers|TestMemberDies|TestRolloutUnderTraffic' -v -soak=$(SOAK)
	for release in 25 29; do for example in elixir relx erl; do \
		archive=$$($(IMAGE) example $$example $$release) && $(CLUSTER) load $$archive || exit 1; done; done
	$(E2E) -count=1 -parallel=3 -timeout=3h -v -run TestExamplesMatrix -matrix
	$(E2E) -count=1 -timeout=12h -v -run TestRandomFaults -machines -stretch=10 -faults=$(FAULTS)
	$(E2E) -count=$(REPEAT) -timeout=12h -v -run 'TestMesh|TestCookieMismatch|TestScale|TestManagerKilled|TestMemberDies|Rotation|TestChaos|KubeletRestart'
	dpkg --status libfaketime >/dev/null || apt-get install -qq -y --no-install-recommends libfaketime
	go test -C test -tags erlang -count=$(REPEAT) -timeout=6h ./erlang/...
	go test -C test -tags erlang -count=1 -timeout=6h -p 1 -run 'Trace' -bench . -benchtime 100x ./erlang ./erlang/probe -soak
	$(MAKE) --no-print-directory test-versions test-webhook test-chart test-rules test-release test-install
	go test -timeout=6h ./controllers -run AnyHistory -histories=1000
	go test -timeout=6h ./controllers/internal/plan ./controllers/internal/rotation ./controllers/internal/status ./certs/... ./probe/mesh ./erldist -rapid.checks=10000
	for package in ./erldist ./certs; do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$package || \
				[ -z "$$(git status --porcelain $$package/testdata/fuzz)" ] || exit 1; \
		done; \
	done

## Check

.PHONY: verify
verify: modules ## Check generated files, formatting, lint, and that the docs match the code
	./hack/verify.sh

.PHONY: lint
lint: ## Lint the Go code
	status=0; for module in $(MODULES); do (cd $$module && $(LINT) ./...) || status=1; done; exit $$status
