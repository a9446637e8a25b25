// Package cache keeps what is expensive to make, built programs, root file
// systems and images, outside the build tree, so that cleaning the tree
// costs minutes and not the hours of a first build.
//
// Everything in the cache is named by what it was made from (a version, a
// digest), is complete when its name exists, and can be deleted at any time.
// The package knows nothing about what it keeps.
package cache
