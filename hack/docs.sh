#!/usr/bin/env bash
# Checks the docs against the code: every reason has its section in the troubleshooting
# guide, every make target, relative link and anchor that a document names exists. And
# checks code and docs for words that have plainer ones.
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

# words finds a regular expression, as words, and says what to write instead.
words() {
	while read -r found; do
		fail "$(cut -d: -f-2 <<<"$found"): write $2 for \"$(cut -d: -f3- <<<"$found")\""
	done < <(git grep -nIoiwE --untracked "$1" -- '*.go' '*.md' '*.yaml' '*.sh' Makefile '.ci/*' ':!hack/docs.sh' ':!*/testdata/*')
}
words 'mend(s|ed|ing)?' '"fix", "repair"'
words 'heed(s|ed|ing)?' '"honour", "read"'
words 'leafs' '"leaves", "leaf certificates"'
words 'whom' '"that", "which"'
words '(he|him|his)' '"they", "them", "their"'
words 'in vain' 'what failed'
words "(hold|held)s?( [a-z']+){0,5} against" '"compare with"'
words 'fights?( it)? with' '"conflicts with"'
words 'without a word' '"silently"'
words '(is|are) told of' '"is reported"'
words '// [A-Za-z]+ says that' '"reports whether"'
words 'strangers?' '"other client"'
words 'nothing more to wish for' 'what is complete'
words 'so much for' 'plainly what is meant'

exit $failed
