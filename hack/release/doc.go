// Command release makes everything of a release from the commit that is checked out, in
// dist/ at the top of the repository:
//
//	go run ./release v0.1.0          # what `make release` runs
//	go run ./release -verify v0.1.0  # checks that the pieces in dist/ agree
//
// The same commit gives the same bytes on every machine: the toolchain is the one of go.mod,
// and the times are that of the commit.
package main
