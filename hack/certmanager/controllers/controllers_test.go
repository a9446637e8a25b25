package controllers

import (
	"maps"
	"slices"
	"testing"

	"github.com/cert-manager/cert-manager/pkg/controller"
)

// The imports determine which controllers run. Any other one (such as ACME's) would watch
// objects that this cert-manager has no permission for.
func TestExactlyTheWantedControllersAreRegistered(t *testing.T) {
	want := []string{
		"certificaterequests-approver",
		"certificaterequests-issuer-ca",
		"certificaterequests-issuer-selfsigned",
		"certificates-issuing",
		"certificates-key-manager",
		"certificates-readiness",
		"certificates-request-manager",
		"certificates-revision-manager",
		"certificates-trigger",
		"clusterissuers",
		"issuers",
	}
	if got := slices.Sorted(maps.Keys(controller.Known())); !slices.Equal(got, want) {
		t.Errorf("registered controllers %q, want %q", got, want)
	}
}
