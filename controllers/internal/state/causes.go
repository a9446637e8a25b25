package state

import (
	"fmt"
	"time"
)

// StoringTimeout is how long cert-manager may take for a key or a certificate before it is
// looked up whether a quota keeps it from storing a Secret.
const StoringTimeout = 10 * time.Second

// MissingPods are those that the StatefulSet is to create, and that do not exist.
func (s State) MissingPods() []string {
	if s.StatefulSet == nil || s.StatefulSet.Spec.Replicas == nil {
		return nil
	}
	var missing []string
	for _, name := range s.Names.Pods(min(s.Replicas(), *s.StatefulSet.Spec.Replicas)) {
		if s.Pod(name) == nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// StoringOverdue reports whether cert-manager has been issuing a certificate for longer
// than StoringTimeout.
func (s State) StoringOverdue() bool {
	for name := range s.Certificates {
		if issuance, waiting := s.Issuance(name); waiting && !issuance.Failed && s.Now.Sub(issuance.Since) > StoringTimeout {
			return true
		}
	}
	return false
}

// notStored is why something that cert-manager has is in no Secret.
func (s State) notStored(what string) string {
	if s.SecretQuota == "" {
		return what
	}
	return fmt.Sprintf("%s: ResourceQuota %s allows no more Secrets. Raise it, or delete Secrets that nothing needs", what, s.SecretQuota)
}
