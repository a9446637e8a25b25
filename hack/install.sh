#!/usr/bin/env bash
# Makes a release of the commit that is checked out, from a clean clone, and installs all that is
# to be installed of it on the Kubernetes of this machine: install.yaml and the chart each on a
# fresh one, the others after a complete removal. With each, the ErlangCluster of the quickstart
# must become Ready in a namespace with Pod Security restricted. Prints every command.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
system=erlang-operator-system
nodes='{range .items[*]}{.metadata.name} {.metadata.uid} {.status.containerStatuses[*].restartCount}{"\n"}{end}'

PATH=$(go run -C hack ./cluster build kubectl):$PATH
export KUBECONFIG=$PWD/.cluster/kubeconfig
kubectl() { echo "$ kubectl $*" >&2 && command kubectl "$@"; }
helm() { echo "$ helm $*" >&2 && go tool -modfile="$PWD/hack/helm/go.mod" helm "$@"; }
step() { printf '\n== %s\n' "$*"; }
fail() { echo "install: $*" >&2 && exit 1; }

work=$(mktemp -d)
finish() {
	[ "$1" = 0 ] || { step "It failed" && command kubectl describe erlangclusters -A && command kubectl get pods -A; } || true
	rm -rf "$work"
}
trap 'finish $?' EXIT

release() {
	step "Make the release $version"
	git clone --quiet . "$work/clone"
	make --no-print-directory -C "$work/clone" release VERSION="$version"
	dist=$work/clone/dist
	image=$(tar -xOf "$dist/erlang-operator-$version-image.tar" index.json | sed -nE 's/.*"digest": ?"(sha256:[0-9a-f]+)".*/\1/p')
	[ -n "$image" ] || fail "the image has no digest"
}

fresh() {
	step "A fresh Kubernetes"
	make --no-print-directory cluster-down cluster-up
	go run -C hack ./cluster load "$dist/erlang-operator-$version-image.tar" "$(go run -C hack ./image erlang 27)"
}

# ready has the cluster of the quickstart become Ready in a namespace, and everything of the
# operator run the image of the release.
ready() {
	kubectl get namespace "$1" --no-headers --ignore-not-found | grep -q . || kubectl create namespace "$1"
	kubectl label --overwrite namespace "$1" pod-security.kubernetes.io/enforce=restricted
	kubectl apply -k config/samples -n "$1"
	kubectl wait --for=condition=Ready erlangcluster/chat -n "$1" --timeout=10m
	kubectl get erlangclusters,pods -n "$1"
	runs "$system" deployments
	runs "$1" deployment/chat-probe
}

# grow has the cluster get a fourth node, for which manager and admission policy are needed.
grow() {
	kubectl scale erlangcluster/chat -n "$1" --replicas=4
	kubectl wait --for=condition=Ready erlangcluster/chat -n "$1" --timeout=5m
}

# runs requires that Deployments run the image of the release.
runs() {
	local images found
	images=$(kubectl get "$2" -n "$1" -o jsonpath='{..image}')
	[ -n "$images" ] || fail "there is no $2 in $1"
	for found in $images; do
		[[ $found == *"@$image" ]] || fail "$2 in $1 runs $found, not $image"
	done
}

installed() {
	local deployments deployment
	deployments=$(kubectl get deployments -n "$system" -o name)
	[ -n "$deployments" ] || fail "there is no Deployment in $system"
	for deployment in $deployments; do
		kubectl rollout status "$deployment" -n "$system" --timeout=5m
	done
}

# removed deletes the clusters, does what removes the operator, and requires that nothing is left.
removed() {
	step "Remove it"
	kubectl delete erlangclusters --all --all-namespaces --timeout=5m
	kubectl wait --for=delete pods --all-namespaces -l erlang-operator.dev/cluster --timeout=5m
	"$@"
	kubectl delete namespace --ignore-not-found "$system" first second
	kubectl label namespace default pod-security.kubernetes.io/enforce-
	left=$(kubectl get "$(kubectl api-resources --verbs=list,delete -o name | paste -sd,)" --all-namespaces -l app.kubernetes.io/part-of=erlang-operator -o name)
	[ -z "$left" ] || fail "left over: $left"
}

# manifest installs a file of the release, and runs a cluster in a namespace.
manifest() {
	step "$1"
	kubectl apply --server-side -f "$dist/$1"
	installed
	ready "$2"
	removed kubectl delete -f "$dist/$1"
}

# chart installs or upgrades a release of the chart.
chart() {
	local name=$1 file=$2
	shift 2
	helm upgrade --install "$name" "$file" -n "$system" --create-namespace "$@"
	installed
}

uninstall() {
	for name in $(helm list -n "$system" -q); do helm uninstall "$name" -n "$system" --wait; done
	kubectl delete crd erlangclusters.erlang-operator.dev
}

# kept requires that the nodes are those of before, and were not restarted.
kept() {
	local now
	now=$(kubectl get pods -n first -l erlang-operator.dev/component=node -o jsonpath="$nodes")
	[ "$now" = "$before" ] || fail "after $1 the nodes are not those of before:"$'\n'"$before"$'\n'"$now"
}

lifecycle() {
	step "The chart: install, upgrade, uninstall, install"
	chart erlang-operator "$packaged"
	ready first
	before=$(kubectl get pods -n first -l erlang-operator.dev/component=node -o jsonpath="$nodes")
	next=$(go run -C "$work/clone/hack" ./chart -version v9.0.0 -digest "$image" -output "$work")
	chart erlang-operator "$next" --set workers=8
	ready first
	kept "the upgrade"
	helm uninstall erlang-operator -n "$system" --wait
	kubectl wait --for=delete pods -n "$system" --all --timeout=2m
	kubectl get erlangcluster chat -n first
	kept "the uninstallation"
	chart erlang-operator "$packaged"
	ready first
	kept "the second installation"
	grow first
	removed uninstall
}

# apart runs two managers, each of which may read the Secrets of its own namespace alone. The
# second takes over what they share when the first is uninstalled.
apart() {
	step "The chart for some namespaces, twice"
	kubectl create namespace first
	kubectl create namespace second
	chart erlang-operator "$packaged" --set 'namespaces={first}'
	chart other "$packaged" --set 'namespaces={second},sharedObjects=false'
	ready first
	ready second
	[ "$(kubectl auth can-i list secrets -n second --as="system:serviceaccount:$system:erlang-operator-manager")" = no ] ||
		fail "the manager of one namespace may read the Secrets of another"
	helm uninstall erlang-operator -n "$system" --wait
	chart other "$packaged" --set 'namespaces={second}' --take-ownership --force-conflicts
	grow second
	removed uninstall
}

release
packaged=$dist/erlang-operator-${version#v}.tgz
fresh
manifest install.yaml first
manifest install-webhook.yaml first
manifest install-namespaced.yaml default
fresh
lifecycle
step "The chart with the webhook"
chart erlang-operator "$packaged" --set podIdentity=Webhook
ready first
removed uninstall
apart
step "All of $version can be installed"
