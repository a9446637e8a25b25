#!/usr/bin/env bash
# Checks that generated files are up to date, that the code is formatted and linted,
# that every module is tidy, and that the docs match the code. Prints differences before
# each error.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
fail() {
	echo "verify: $*" >&2
	failed=1
}
step() { echo "verify: $1"; }

generated=(api config/crd config/rbac docs/api-reference.md)
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT

step "generated files"
cp -r --parents "${generated[@]}" "$before"
make -s generate
for path in "${generated[@]}"; do
	diff -ru "$before/$path" "$path" || fail "$path was out of date; commit the changes of 'make generate'"
done

step "formatting"
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || {
	gofmt -d $unformatted || true
	fail "not formatted, run 'make format':" $unformatted
}

step "modules"
# What is tidy depends on the tests of dependencies too, which modules.sh does not download. An error
# without a difference is one of the network, most likely.
tidy() {
	local difference wait
	for wait in 5 20 60 none; do
		difference=$(go -C "$1" mod tidy -diff) && return
		[ -z "$difference" ] && [ "$wait" != none ] || break
		echo "verify: retrying $1 in $wait s" >&2
		sleep "$wait"
	done
	[ -z "$difference" ] || echo "$difference"
	return 1
}
for module in . hack hack/coredns hack/certmanager hack/helm test; do
	tidy "$module" || fail "$module/go.mod is not tidy, or cannot be checked, as shown above: run 'go mod tidy' there"
done

step "lint"
make -s lint || fail "lint reported problems"

# The database is in the network: without it, the check says so, and fails nothing.
step "known vulnerabilities"
if ! known=$(go tool -modfile=hack/tools/go.mod govulncheck ./... 2>&1); then
	case $known in
	*"fetching vulnerabilities"*) echo "verify: NOT CHECKED for known vulnerabilities: https://vuln.go.dev cannot be reached" ;;
	*) echo "$known"; fail "the code calls functions with known vulnerabilities, or they could not be looked up" ;;
	esac
fi

step "manifests"
for tree in config/default config/ha config/namespaced config/webhook config/samples; do
	go tool -modfile=hack/tools/go.mod kustomize build "$tree" >/dev/null || fail "kustomize cannot build $tree"
done

monitored=config/samples/monitored
mkdir $monitored
trap 'rm -rf "$before" $monitored' EXIT
for monitors in ../../prometheus "../../prometheus, ../../prometheus/pods"; do
	echo "{resources: [../../ha], components: [$monitors]}" >$monitored/kustomization.yaml
	go tool -modfile=hack/tools/go.mod kustomize build $monitored >/dev/null || fail "kustomize cannot build config/ha with $monitors"
done

step "docs"
./hack/docs.sh || failed=1

exit $failed
