package state

import (
	"fmt"
	"time"
)

// PodIdentity is what puts a pod's own Secret in place when the pod is created.
type PodIdentity string

// The values of the flag --pod-identity.
const (
	ByPolicy  PodIdentity = "Policy"  // a MutatingAdmissionPolicy
	ByWebhook PodIdentity = "Webhook" // a mutating webhook that the manager serves
)

// Set makes it a flag, with String and Type.
func (p *PodIdentity) Set(value string) error {
	if by := PodIdentity(value); by != ByPolicy && by != ByWebhook {
		return fmt.Errorf("must be %s or %s", ByPolicy, ByWebhook)
	}
	*p = PodIdentity(value)
	return nil
}

func (p *PodIdentity) String() string { return string(*p) }

// Type is shown in the usage of the flag.
func (*PodIdentity) Type() string { return string(ByPolicy + "|" + ByWebhook) }

// Admission is what was observed of it.
type Admission struct {
	By PodIdentity
	// Lacking is why it has no effect; empty when it has, as far as its objects show.
	Lacking Lack
	// Since is when the last of its objects was created.
	Since time.Time
}

// A Lack is why no pod gets its Secret.
type Lack string

// What may be lacking.
const (
	// NotServed: this Kubernetes has no MutatingAdmissionPolicies.
	NotServed Lack = "NotServed"
	// NotInstalled: the policy, its binding, or the webhook's configuration is not there.
	NotInstalled Lack = "NotInstalled"
	// NoCABundle: the API server cannot verify the webhook's certificate, so it does not
	// call it.
	NoCABundle Lack = "NoCABundle"
)
