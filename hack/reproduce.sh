#!/usr/bin/env bash
# Makes the release of the commit that is checked out twice, each from a clone of its own in
# another directory and with an empty build cache, and compares all files.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
commit=$(git rev-parse HEAD) # of both, whatever is committed or checked out meanwhile

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for clone in first the/second; do
	git clone --quiet --no-checkout . "$work/$clone"
	git -C "$work/$clone" checkout --quiet --detach "$commit"
	GOCACHE="$work/cache" make --no-print-directory -C "$work/$clone" release VERSION="$version"
	rm -rf "$work/cache"
done
diff -r "$work/first/dist" "$work/the/second/dist" || { echo "reproduce: the same commit gave two releases" >&2; exit 1; }
cat "$work/first/dist/SHA256SUMS"
