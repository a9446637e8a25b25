// Package cache stores the results of long builds (programs, root file systems,
// images) outside the source tree, so that cleaning the tree does not lose them.
//
// Every entry is named after its inputs (a version, a digest), is complete if it
// exists, and can be deleted at any time.
package cache
