// Package helm tests the chart with Helm's own libraries, in a module of its own, because
// these have many dependencies. The tool of the module is Helm itself.
package helm
