#!/usr/bin/env bash
# Checks the docs against the code: every reason of a verdict has its section in the
# troubleshooting guide, every make target, relative link and anchor that a document
# names exists.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
fail() {
	echo "docs: $1" >&2
	failed=1
}

# anchors are the anchors of a document's headings, as the forges make them.
anchors() { sed -nE 's/^#+ +//p' "$1" | tr '[:upper:]' '[:lower:]' | tr -cd 'a-z0-9 _\n-' | tr ' ' '-'; }

documents=$(git ls-files --cached --others --exclude-standard '*.md')

for reason in $(sed -nE 's/^\tReason[A-Za-z0-9]+ *= "([A-Za-z0-9]+)".*/\1/p' api/v1alpha1/conditions.go); do
	grep -qx "### $reason" docs/troubleshooting.md || fail "docs/troubleshooting.md has no section for the reason $reason"
done

for target in $(grep -ohE '`make [a-z0-9-]+' $documents | awk '{print $2}' | sort -u); do
	grep -qE "^$target:" Makefile || fail "a document names 'make $target', and there is no such target"
done

for document in $documents; do
	for link in $(grep -oE '\]\([^)#: ]+[)# ]' "$document" | sed -E 's,^..(.*).$,\1,'); do
		[ -e "$(dirname "$document")/$link" ] || fail "$document links to $link, which is not there"
	done
	for link in $(grep -oE '\]\([^):# ]*#[^) ]+\)' "$document" | sed -E 's,^..(.*).$,\1,'); do
		target=${link%%#*} anchor=${link#*#}
		anchors "${target:+$(dirname "$document")/}${target:-$document}" | grep -qxF "$anchor" || fail "$document links to $link, and there is no such heading"
	done
done

exit $failed
