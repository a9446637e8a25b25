#!/usr/bin/env bash
# Downloads the dependencies of all modules of this repository, and retries, because the
# go command fails on the first network error.
set -euo pipefail
cd "$(dirname "$0")/.."

delays=(5 20 60) # seconds
# Other versions of Kubernetes and cert-manager are downloaded by `make test-versions` only, and
# Prometheus by `make test-rules`.
for file in $(find . \( -path ./.cluster -o -path './hack/kubernetes/*' -o -path './hack/certmanager/*' -o -path ./hack/prometheus \) -type d -prune -o -name go.mod -print | sort); do
	module=$(dirname "$file")
	for wait in "${delays[@]}" none; do
		go -C "$module" mod download && break
		[ "$wait" != none ] || { echo "modules: cannot download the dependencies of $file: see above, and GOPROXY in 'go env'" >&2; exit 1; }
		echo "modules: retrying $module in $wait s" >&2
		sleep "$wait"
	done
done
