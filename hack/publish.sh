#!/usr/bin/env bash
# Signs what `make release` made in dist/, and publishes it: the image and the chart to the
# registry, everything else as a release of the repository. Needs cosign, gh and a login of
# each; with cosign's keyless signatures no key is kept. docs/releasing.md has the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1

tool() { go tool -modfile="$PWD/hack/tools/go.mod" "$@"; }
for program in cosign gh helm; do
	command -v "$program" >/dev/null || { echo "publish: $program is not installed" >&2; exit 1; }
done

[ "$(git rev-parse "$version^{commit}")" = "$(git rev-parse HEAD)" ] ||
	{ echo "publish: what is checked out is not the tag $version" >&2; exit 1; }

# What is published is what was made of the tag: all pieces agree, and name one image.
image=$(go run -C hack ./release -verify "$version")
repository=${image%%[:@]*} digest=${image##*@}

layout=$(mktemp -d)
trap 'rm -rf "$layout"' EXIT
tar -xf "dist/erlang-operator-$version-image.tar" -C "$layout"
tool crane push "$layout" "$repository:$version"
pushed=$(tool crane digest "$repository:$version")
[ "$pushed" = "$digest" ] || { echo "publish: the registry has $pushed, not $digest" >&2; exit 1; }

cosign sign --yes "$repository@$digest"
for architecture in amd64 arm64; do
	cosign attest --yes --type spdxjson --predicate "dist/erlang-operator-$version-image-linux-$architecture.spdx.json" \
		"$repository@$(tool crane digest --platform "linux/$architecture" "$repository@$digest")"
done
helm push "dist/erlang-operator-${version#v}.tgz" "oci://${repository%/*}/charts"
cosign sign-blob --yes --bundle dist/SHA256SUMS.sigstore.json dist/SHA256SUMS

prerelease=()
[[ $version != *-* ]] || prerelease=(--prerelease)
gh release create "$version" --verify-tag --title "$version" --notes-file dist/NOTES.md "${prerelease[@]}" dist/*
