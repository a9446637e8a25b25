#!/usr/bin/env bash
# Downloads what the modules of this repository need. The go command gives up at the
# first lost packet, which on a fresh machine would cost the whole run; this tries
# again, and a machine that has them is asked for nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

patience=(5 20 60) # seconds
for file in $(find . -path ./.cluster -prune -o -name go.mod -print | sort); do
	module=$(dirname "$file")
	for wait in "${patience[@]}" none; do
		go -C "$module" mod download && break
		[ "$wait" != none ] || { echo "the Go modules that $file names cannot be downloaded: see above, and GOPROXY in 'go env'" >&2; exit 1; }
		echo "modules: $module is tried again in $wait s" >&2
		sleep "$wait"
	done
done
